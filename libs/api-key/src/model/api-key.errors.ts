import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import type { ApiKey } from './api-key.entity';

/** The stable code of each refusal: the `error` field of the body. */
export type RefusalCode = keyof typeof REFUSALS;

/** The reason of a refusal, for the trail. Callers get less detail. */
export type RefusedReason =
  | 'malformed'
  | 'prefix'
  | 'unknown'
  | 'expired'
  | 'unused'
  | 'revoked'
  | 'disabled'
  | 'owner'
  | 'address'
  | 'environment'
  | 'plaintext'
  | 'scope'
  | 'rate'
  | 'quota';

/** What the trail records of a refused request, in addition to the answer. */
export interface RefusedKey {
  readonly reason: RefusedReason;
  /** The stored key that was presented; null if there is none. */
  readonly apiKey: ApiKey | null;
  /**
   * The presented key, masked as `acme_live_3fKd...9xQz`; null if the presented text is not a key.
   */
  readonly masked: string | null;
}

interface RefusalRule {
  readonly status: number;
  readonly message: string;
  /**
   * Parameters of the `WWW-Authenticate` challenge after the realm (RFC 6750 §3); undefined: no
   * challenge.
   */
  readonly challenge?: string;
  /** Seconds for `Retry-After` (RFC 9110 §10.2.3). */
  readonly retryAfterSeconds?: number;
}

/** All refusals. No message contains the presented text. All invalid keys get the same answer. */
const REFUSALS = {
  MISSING_API_KEY: {
    status: 401,
    message: 'No API key was presented. Send it as "Authorization: Bearer <key>".',
    challenge: '',
  },
  INVALID_API_KEY: {
    status: 401,
    message:
      'The API key is not valid. Check that it is complete, has not expired and was not revoked or disabled.',
    challenge: ', error="invalid_token"',
  },
  INSUFFICIENT_SCOPE: {
    status: 403,
    message: 'The API key lacks a scope that this request needs.',
    challenge: ', error="insufficient_scope"',
  },
  HTTPS_REQUIRED: {
    status: 403,
    message:
      'API keys are accepted only over HTTPS. Call the https:// URL. For operators: behind a TLS-terminating proxy, list ' +
      'its address in https.trustProxy and let it send "X-Forwarded-Proto: https"; for a private network, list it in https.allowInsecureHttpFrom; on a serverless platform, see the log.',
  },
  IP_NOT_ALLOWED: {
    status: 403,
    message: 'The API key is not allowed from this IP address.',
  },
  WRONG_ENVIRONMENT: {
    status: 403,
    message: 'The API key is of an environment that this route does not accept.',
  },
  RATE_LIMITED: {
    status: 429,
    message: 'The API key has reached its rate limit. Try again after the number of seconds in Retry-After.',
  },
  QUOTA_EXCEEDED: {
    status: 429,
    message: 'The API key has used up its quota. Try again after the number of seconds in Retry-After.',
  },
  KEY_STORE_UNAVAILABLE: {
    status: 503,
    message: 'API keys cannot be checked at the moment. Try again shortly.',
    retryAfterSeconds: 1,
  },
} as const satisfies Record<string, RefusalRule>;

/**
 * Limits the scopes in a challenge, because proxies and clients accept 4 to 16 KB of headers in
 * total.
 */
const MAX_CHALLENGE_SCOPES = 1024;

/** The body of an error answer. */
interface RefusalBody {
  readonly statusCode: number;
  readonly error: string;
  readonly message: string | readonly string[];
  readonly missing?: readonly string[];
}

interface RefusalDetails {
  readonly missing?: readonly string[];
  readonly asked?: readonly string[];
  readonly cause?: unknown;
  readonly refused?: RefusedKey;
  /** Seconds for `Retry-After`, if the refusal has no fixed value. */
  readonly retryAfterSeconds?: number;
}

/**
 * A request that this library refused. The body is `{ statusCode, error, message }`. For
 * `INSUFFICIENT_SCOPE` the body also has `missing`, the scopes that the key lacks.
 */
export class ApiKeyRefusal extends HttpException {
  readonly #details: RefusalDetails;

  /** @param isProblem whether the body has the form of RFC 9457 */
  constructor(
    readonly code: RefusalCode,
    details: RefusalDetails = {},
    isProblem = false,
  ) {
    const body = bodyOf(code, details);
    super(isProblem ? problemOf(body) : body, body.statusCode, { cause: details.cause });
    this.#details = details;
    this.asked = details.asked ?? [];
    this.retryAfterSeconds = details.retryAfterSeconds;
    Object.defineProperty(this, 'refused', { value: details.refused ?? null, enumerable: false });
  }

  /**
   * What the trail records; null if no key was checked. The property is not enumerable, so that a
   * log of the error does not contain keys of callers.
   */
  declare readonly refused: RefusedKey | null;

  private readonly asked: readonly string[];
  private readonly retryAfterSeconds: number | undefined;

  /**
   * Returns the same refusal with a body of RFC 9457: `{ type, title, status, detail, error }`. For
   * `INSUFFICIENT_SCOPE` the body also has `missing`.
   */
  toProblem(): ApiKeyRefusal {
    return new ApiKeyRefusal(this.code, this.#details, true);
  }

  /**
   * The response headers of this refusal. The challenge of `INSUFFICIENT_SCOPE` names the required
   * scopes if they take at most 1,024 characters. RFC 6750 §3 allows a challenge without scopes.
   */
  headers(realm: string): Record<string, string> {
    const { challenge, retryAfterSeconds = this.retryAfterSeconds }: RefusalRule = REFUSALS[this.code];
    const asked = this.asked.join(' ');
    const scope = asked !== '' && asked.length <= MAX_CHALLENGE_SCOPES ? `, scope="${asked}"` : '';
    return {
      ...(challenge !== undefined && { 'WWW-Authenticate': `Bearer realm="${realm}"${challenge}${scope}` }),
      ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
    };
  }
}

function bodyOf(code: RefusalCode, { missing }: RefusalDetails): RefusalBody {
  const { status, message } = REFUSALS[code];
  return { statusCode: status, error: code, message, ...(missing && { missing }) };
}

/**
 * RFC 9457 §4.2.1: a problem without a page of its own has the type `about:blank` and the title of
 * its status.
 */
function problemOf({ statusCode: status, message, ...codes }: RefusalBody): object {
  const detail = [message].flat().join('; ');
  return { type: 'about:blank', title: STATUS_CODES[status], status, detail, ...codes };
}

/** Gives a refusal a body of RFC 9457 instead of `{ statusCode, error, message }`. */
export function asProblem(refusal: HttpException): HttpException {
  if (refusal instanceof ApiKeyRefusal) return refusal.toProblem();
  const { cause } = refusal;
  return new HttpException(problemOf(refusal.getResponse() as RefusalBody), refusal.getStatus(), { cause });
}

/** The state of the key forbids the change, for example a second rotation. Nothing was changed. */
export class ApiKeyConflictError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ApiKeyConflictError';
  }
}

/** The change would give a key more than the acting key has. Nothing was changed. */
export class ApiKeyAuthorityError extends Error {
  /**
   * @param problems one text for each field that goes beyond the acting key
   * @param missing the scopes that the acting key lacks
   */
  constructor(
    readonly problems: readonly string[],
    readonly missing: readonly string[],
  ) {
    super(problems.join('; '));
    this.name = 'ApiKeyAuthorityError';
  }
}

/**
 * The input of a call of the service is invalid. Nothing was changed; `problems` says what to
 * correct.
 */
export class ApiKeyInputError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('; '));
    this.name = 'ApiKeyInputError';
  }
}

/** A rule of option `policy` that forbids a change. */
export type PolicyRule = 'maxLifetimeDays' | 'allowNever' | 'maxActiveKeys';

/** Option `policy` forbids the change. Nothing was changed; `rule` names the field of `policy`. */
export class ApiKeyPolicyError extends Error {
  constructor(
    readonly rule: PolicyRule,
    message: string,
  ) {
    super(`${message} (policy.${rule})`);
    this.name = 'ApiKeyPolicyError';
  }
}

/**
 * A call cannot be part of the transaction of `{ manager }`. Nothing was changed; the message says
 * why, and what to do.
 */
export class ApiKeyTransactionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ApiKeyTransactionError';
  }
}
