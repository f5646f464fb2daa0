/** Verifies one key on each call. Rejects if the key is refused. */
export type Call = () => Promise<void>;
