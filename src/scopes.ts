/** What keys may be allowed to do here, and what each scope means. */
export const SCOPES = {
  'orders:read': 'Read orders',
  'orders:write': 'Create orders',
  'api-keys:read': 'See API keys',
  'api-keys:write': 'Issue, change and revoke API keys',
} as const;

declare module 'nestjs-api-key' {
  interface ScopeCatalogue extends Record<keyof typeof SCOPES, true> {}
}
