import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** Returns the digest of the Bearer token, or null if there is no Bearer token. */
export function presentedDigest({ headers }: { readonly headers: IncomingHttpHeaders }): string | null {
  const { authorization } = headers;
  if (!authorization?.startsWith('Bearer ')) return null;
  return createHash('sha256').update(authorization.slice('Bearer '.length)).digest('hex');
}
