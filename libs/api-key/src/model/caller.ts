/** Who sent a request, and to where, for the trail. Its fields may be getters: read them by name. */
export interface Caller {
  /** Class and method of the handler: nothing that the caller chose. */
  readonly route: string;
  /** IP address; null if it is not known. */
  readonly address: string | null;
  readonly requestId: string | null;
}
