/**
 * Sender and route of a request, for the trail. The fields may be getters: read each field by name.
 */
export interface Caller {
  /** Class and method of the handler. The caller cannot choose this text. */
  readonly route: string;
  /** IP address; null if it is not known. */
  readonly address: string | null;
  readonly requestId: string | null;
}
