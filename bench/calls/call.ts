/** Verifies one key after the other; rejects where one is refused. */
export type Call = () => Promise<void>;
