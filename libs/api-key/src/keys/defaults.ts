/** What calls of `ApiKeyService` mean that do not say otherwise; REST and command line as well. */
export const API_KEY_DEFAULTS = {
  /** Seconds that a rotated key still works. */
  overlapSeconds: 86_400,
  /** Days after its end until `prune` removes a key. */
  pruneKeysDays: 90,
  /** Age in days from which `prune` removes an event. */
  pruneEventsDays: 365,
  /** Items of a page. */
  pageSize: 50,
} as const;
