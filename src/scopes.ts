/** Scopes of the app, each with its description. */
export const SCOPES = {
  'orders:read': 'Read orders',
  'orders:write': 'Create orders',
  'api-keys:read': 'See API keys',
  'api-keys:write': 'Issue, change and revoke API keys',
} as const;

declare module 'nestjs-api-key' {
  interface ScopeCatalogue extends Record<keyof typeof SCOPES, true> {}
}
