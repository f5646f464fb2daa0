import type { ApiKeyService } from '../index';

/** What the commands work on, open for one of them. */
export interface KeysSession {
  readonly keys: ApiKeyService;
  /** The owner that an email address stands for; `create` makes it where there is none. Null where it stays unknown. */
  findOwner(email: string, options: { readonly create: boolean }): Promise<string | null>;
  close(): Promise<void>;
}

/** What the application gives the command line. */
export interface KeysCliHost {
  /** Name of the program in its help. Default `keys`. */
  readonly program?: string;
  /** Connects to the keys; called once, and only after the call was understood. */
  open(): Promise<KeysSession>;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}
