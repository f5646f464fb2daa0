import { API_KEY_STATES, type ApiKeyUsage } from '../index';
import { QuotaBody, RateLimitBody } from './bodies';
import { Documented } from './documented';
import type { presentEvent, presentIssued, presentKey } from './present';

/** A class with all fields of an answer, for the OpenAPI document. */
type FieldsOf<Answer> = { readonly [Field in keyof Answer]: unknown };

const TEXT = { type: 'string' };
const TEXT_OR_NULL = { type: 'string', nullable: true };
const TEXTS = { type: 'array', items: TEXT };
const COUNT = { type: 'integer', minimum: 0 };
const TIME = { type: 'string', format: 'date-time' };
const TIME_OR_NULL = { ...TIME, nullable: true };
const OBJECT = { type: 'object', additionalProperties: true };
const CURSOR = { ...TEXT_OR_NULL, description: 'The query `cursor` of the next page; null: no more pages' };

export class ManagedApiKey implements FieldsOf<ReturnType<typeof presentKey>> {
  @Documented(TEXT)
  readonly id!: string;

  @Documented(TEXT)
  readonly name!: string;

  @Documented(TEXT)
  readonly masked!: string;

  @Documented(TEXTS)
  readonly scopes!: string[];

  @Documented({ type: 'string', enum: API_KEY_STATES })
  readonly state!: string;

  @Documented(TEXT_OR_NULL)
  readonly environment!: string | null;

  @Documented(TIME)
  readonly createdAt!: string;

  @Documented(TIME_OR_NULL)
  readonly lastUsedAt!: string | null;

  @Documented(TIME_OR_NULL)
  readonly expiresAt!: string | null;

  @Documented(TIME_OR_NULL)
  readonly endsUnusedAt!: string | null;

  @Documented(TIME_OR_NULL)
  readonly revokedAt!: string | null;

  @Documented(TIME_OR_NULL)
  readonly disabledAt!: string | null;

  @Documented({ type: () => RateLimitBody, nullable: true })
  readonly rateLimit!: RateLimitBody | null;

  @Documented({ type: () => QuotaBody, nullable: true })
  readonly quota!: QuotaBody | null;

  @Documented({ ...TEXTS, nullable: true })
  readonly allowedIps!: string[] | null;

  @Documented(OBJECT)
  readonly metadata!: object;

  @Documented(TEXT_OR_NULL)
  readonly replaces!: string | null;

  @Documented(TEXTS)
  readonly ancestorIds!: string[];

  @Documented({ ...TEXT, description: 'The owner; only for callers who see all owners', required: false })
  readonly userId?: string;
}

export class IssuedManagedApiKey extends ManagedApiKey implements FieldsOf<ReturnType<typeof presentIssued>> {
  @Documented({ ...TEXT, description: 'The raw key, which is shown only once' })
  readonly key!: string;
}

export class ManagedApiKeyPage {
  @Documented({ type: () => [ManagedApiKey] })
  readonly items!: ManagedApiKey[];

  @Documented(CURSOR)
  readonly nextCursor!: string | null;
}

class ManagedApiKeyActor implements FieldsOf<ReturnType<typeof presentEvent>['actor']> {
  @Documented(TEXT)
  readonly type!: string;

  @Documented(TEXT_OR_NULL)
  readonly id!: string | null;
}

export class ManagedApiKeyEvent implements FieldsOf<ReturnType<typeof presentEvent>> {
  @Documented(TEXT)
  readonly id!: string;

  @Documented(TEXT)
  readonly type!: string;

  @Documented(TIME)
  readonly at!: string;

  @Documented({ type: () => ManagedApiKeyActor })
  readonly actor!: ManagedApiKeyActor;

  @Documented(TEXT_OR_NULL)
  readonly address!: string | null;

  @Documented(TEXT_OR_NULL)
  readonly requestId!: string | null;

  @Documented(TEXT_OR_NULL)
  readonly keyId!: string | null;

  @Documented(TEXT_OR_NULL)
  readonly masked!: string | null;

  @Documented(OBJECT)
  readonly details!: object;
}

export class ManagedApiKeyEventPage {
  @Documented({ type: () => [ManagedApiKeyEvent] })
  readonly items!: ManagedApiKeyEvent[];

  @Documented(CURSOR)
  readonly nextCursor!: string | null;
}

class ManagedApiKeyPeriod implements FieldsOf<ApiKeyUsage['hours'][number]> {
  @Documented(TIME)
  readonly startsAt!: string;

  @Documented(COUNT)
  readonly requests!: number;

  @Documented(COUNT)
  readonly limited!: number;
}

class ManagedApiKeyQuota extends QuotaBody implements FieldsOf<NonNullable<ApiKeyUsage['quota']>> {
  @Documented(COUNT)
  readonly used!: number;

  @Documented(COUNT)
  readonly remaining!: number;

  @Documented(TIME)
  readonly resetsAt!: string;
}

export class ManagedApiKeyUsage implements FieldsOf<ApiKeyUsage> {
  @Documented({ type: () => ManagedApiKeyQuota, nullable: true })
  readonly quota!: ManagedApiKeyQuota | null;

  @Documented({ type: () => [ManagedApiKeyPeriod] })
  readonly hours!: ManagedApiKeyPeriod[];

  @Documented({ type: () => [ManagedApiKeyPeriod] })
  readonly days!: ManagedApiKeyPeriod[];
}

class ManagementError {
  @Documented({ type: 'integer' })
  readonly statusCode!: number;

  @Documented(TEXT)
  readonly error!: string;

  @Documented({ ...TEXT, description: 'The rule of option `policy` that was broken', required: false })
  readonly rule?: string;
}

/** The body of 404 and 409. */
export class ApiKeyManagementError extends ManagementError {
  @Documented(TEXT)
  readonly message!: string;
}

/** The body of 400. */
export class InvalidApiKeyRequest extends ManagementError {
  @Documented({ ...TEXTS, description: 'What to correct' })
  readonly message!: string[];
}
