/** Defaults of `ApiKeyService`, the REST routes and the command line. */
export const API_KEY_DEFAULTS = {
  /** Seconds that a key still works after its rotation. */
  overlapSeconds: 86_400,
  /** `prune` deletes a key this number of days after its end. */
  pruneKeysDays: 90,
  /** `prune` deletes an event at this age in days. */
  pruneEventsDays: 365,
  /** Items per page. */
  pageSize: 50,
} as const;
