import type { ApiKeyService } from '../index';

/** The services that a command uses. Each command opens its own session. */
export interface KeysSession {
  readonly keys: ApiKeyService;
  /**
   * Finds an owner by email address. If `create` is true, a missing owner may be created.
   * @returns the id of the owner, or null if the owner is unknown
   */
  findOwner(email: string, options: { readonly create: boolean }): Promise<string | null>;
  /** Returns the email address of an owner, or null. Command `check` shows it if this is given. */
  findEmail?(userId: string): Promise<string | null>;
  close(): Promise<void>;
}

/** What the application provides to the command line. */
export interface KeysCliHost {
  /** Name of the program in its help text. Default `keys`. */
  readonly program?: string;
  /** Connects to the database. Called once, and only after the arguments were parsed. */
  open(): Promise<KeysSession>;
  /** Default `process.stdin`. */
  readonly stdin?: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}
