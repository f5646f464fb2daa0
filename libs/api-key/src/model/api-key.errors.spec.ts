import { HttpException } from '@nestjs/common';
import { ApiKeyInputError, ApiKeyRefusal, type RefusalCode } from './api-key.errors';

/**
 * The closed list: status, and the headers under the realm `api`. A code that is missing here does
 * not compile.
 */
const REFUSALS: Record<RefusalCode, { status: number; headers: Record<string, string> }> = {
  MISSING_API_KEY: { status: 401, headers: { 'WWW-Authenticate': 'Bearer realm="api"' } },
  INVALID_API_KEY: {
    status: 401,
    headers: { 'WWW-Authenticate': 'Bearer realm="api", error="invalid_token"' },
  },
  INSUFFICIENT_SCOPE: {
    status: 403,
    headers: { 'WWW-Authenticate': 'Bearer realm="api", error="insufficient_scope"' },
  },
  HTTPS_REQUIRED: { status: 403, headers: {} },
  IP_NOT_ALLOWED: { status: 403, headers: {} },
  WRONG_ENVIRONMENT: { status: 403, headers: {} },
  RATE_LIMITED: { status: 429, headers: {} },
  QUOTA_EXCEEDED: { status: 429, headers: {} },
  KEY_STORE_UNAVAILABLE: { status: 503, headers: { 'Retry-After': '1' } },
};
const CODES = Object.keys(REFUSALS) as RefusalCode[];

describe.each(CODES)('the refusal %s', (code) => {
  const { status, headers } = REFUSALS[code];

  it('has its status, and a body of status, code and message alone', () => {
    const refusal = new ApiKeyRefusal(code);
    expect(refusal.getStatus()).toBe(status);
    expect(refusal.getResponse()).toEqual({ statusCode: status, error: code, message: expect.any(String) });
  });

  it('has its headers', () => {
    expect(new ApiKeyRefusal(code).headers('api')).toEqual(headers);
  });

  it('is an HttpException with a code that programs can read', () => {
    const refusal = new ApiKeyRefusal(code);
    expect(refusal).toBeInstanceOf(HttpException);
    expect(refusal.code).toBe(code);
  });

  it('has one message, whatever caused it', () => {
    const cause = new Error('canary');
    expect(new ApiKeyRefusal(code, { cause }).getResponse()).toEqual(new ApiKeyRefusal(code).getResponse());
  });

  it('keeps its cause for the application, but not in body, message or headers', () => {
    const cause = new Error('canary');
    const refusal = new ApiKeyRefusal(code, { cause });
    expect(refusal.cause).toBe(cause);
    expect(JSON.stringify([refusal.getResponse(), refusal.message, refusal.headers('api')])).not.toContain(
      'canary',
    );
  });
});

describe('the refusal INSUFFICIENT_SCOPE', () => {
  const refusal = new ApiKeyRefusal('INSUFFICIENT_SCOPE', {
    missing: ['orders:write'],
    asked: ['orders:read', 'orders:write'],
  });

  it('lists in its body the scopes that are missing', () => {
    expect(refusal.getResponse()).toEqual({
      statusCode: 403,
      error: 'INSUFFICIENT_SCOPE',
      message: expect.any(String),
      missing: ['orders:write'],
    });
  });

  it('lists in its challenge all scopes that the route requires', () => {
    expect(refusal.headers('api')).toEqual({
      'WWW-Authenticate': 'Bearer realm="api", error="insufficient_scope", scope="orders:read orders:write"',
    });
  });

  it('lists one scope in its challenge if the route requires only one', () => {
    const asked = ['orders:read'];
    expect(new ApiKeyRefusal('INSUFFICIENT_SCOPE', { missing: asked, asked }).headers('api')).toEqual({
      'WWW-Authenticate': 'Bearer realm="api", error="insufficient_scope", scope="orders:read"',
    });
  });
});

describe('the challenge of INSUFFICIENT_SCOPE', () => {
  const challengeOf = (asked: string[]) =>
    new ApiKeyRefusal('INSUFFICIENT_SCOPE', { missing: asked, asked }).headers('api')['WWW-Authenticate'];

  it('lists scopes of at most 1,024 characters in total, including the spaces between them', () => {
    const asked = ['a'.repeat(255), 'b'.repeat(255), 'c'.repeat(255), 'd'.repeat(256)];
    expect(challengeOf(asked)).toContain(`, scope="${asked.join(' ')}"`);
  });

  it('lists no scopes if they are longer, and is still a valid challenge', () => {
    const asked = ['a'.repeat(255), 'b'.repeat(255), 'c'.repeat(255), 'd'.repeat(257)];
    expect(challengeOf(asked)).toBe('Bearer realm="api", error="insufficient_scope"');
  });
});

describe('the challenge', () => {
  it('names the realm', () => {
    expect(new ApiKeyRefusal('MISSING_API_KEY').headers('Orders API')).toEqual({
      'WWW-Authenticate': 'Bearer realm="Orders API"',
    });
  });

  it('has no error code if no credential was sent (RFC 6750 section 3.1)', () => {
    expect(new ApiKeyRefusal('MISSING_API_KEY').headers('api')['WWW-Authenticate']).not.toContain('error');
  });
});

describe('the message of HTTPS_REQUIRED', () => {
  it.each([
    'https://',
    'https.trustProxy',
    'X-Forwarded-Proto: https',
    'https.allowInsecureHttpFrom',
  ])('names a way out: %s', (wayOut) => {
    expect(new ApiKeyRefusal('HTTPS_REQUIRED').message).toContain(wayOut);
  });
});

describe('an input error', () => {
  it('lists its problems, and contains them all in its message', () => {
    const error = new ApiKeyInputError(['name must be text', 'limit must be a number']);
    expect(error.problems).toEqual(['name must be text', 'limit must be a number']);
    expect(error.message).toBe('name must be text; limit must be a number');
  });

  it('has its own name and is not an HttpException, because the application decides the answer to the client', () => {
    const error = new ApiKeyInputError(['x']);
    expect(error.name).toBe('ApiKeyInputError');
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(HttpException);
  });
});
