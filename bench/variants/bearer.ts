import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** The digest of the Bearer token, or null without one. */
export function presentedDigest({ headers }: { readonly headers: IncomingHttpHeaders }): string | null {
  const { authorization } = headers;
  if (!authorization?.startsWith('Bearer ')) return null;
  return createHash('sha256').update(authorization.slice('Bearer '.length)).digest('hex');
}
