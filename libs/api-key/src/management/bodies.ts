import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsString,
  Matches,
  ValidateIf,
  ValidateNested,
} from 'class-validator';
import { API_KEY_DEFAULTS, type QuotaPeriod } from '../index';
import { Documented } from './documented';

/**
 * A time of RFC 3339 with its time zone; seconds may be missing. A time without a zone would be
 * read in the time zone of this machine.
 */
const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)$/;
const PERIODS: QuotaPeriod[] = ['day', 'month'];
export const isGiven = (_: unknown, value: unknown) => value !== undefined;
const isGivenAndNotNull = (_: unknown, value: unknown) => value !== undefined && value !== null;

export class RateLimitBody {
  @Documented({ type: 'integer', minimum: 1, maximum: 1_000_000_000 })
  @IsInt()
  limit!: number;

  @Documented({ type: 'integer', minimum: 1, maximum: 31_622_400 })
  @IsInt()
  windowSeconds!: number;
}

export class QuotaBody {
  @Documented({ type: 'integer', minimum: 1, maximum: 1_000_000_000 })
  @IsInt()
  limit!: number;

  @Documented({ type: 'string', enum: PERIODS })
  @IsIn(PERIODS)
  period!: QuotaPeriod;
}

/** The fields of a key that can be set over REST. `ApiKeyService` checks their ranges. */
class KeyBody {
  @Documented({ type: 'array', items: { type: 'string' }, maxItems: 100, required: false })
  @ValidateIf(isGiven)
  @IsArray()
  @ArrayMaxSize(100)
  @IsString({ each: true })
  scopes?: string[];

  @Documented({ type: 'string', format: 'date-time', nullable: true, required: false })
  @ValidateIf(isGivenAndNotNull)
  @Matches(TIME, { message: 'expiresAt must be a time in ISO 8601 with its zone, or null' })
  expiresAt?: string | null;

  @Documented({ type: () => RateLimitBody, nullable: true, required: false })
  @ValidateIf(isGivenAndNotNull)
  @IsObject()
  @ValidateNested()
  @Type(() => RateLimitBody)
  rateLimit?: RateLimitBody | null;

  @Documented({ type: () => QuotaBody, nullable: true, required: false })
  @ValidateIf(isGivenAndNotNull)
  @IsObject()
  @ValidateNested()
  @Type(() => QuotaBody)
  quota?: QuotaBody | null;

  @Documented({
    type: 'array',
    items: { type: 'string' },
    minItems: 1,
    maxItems: 100,
    nullable: true,
    required: false,
  })
  @ValidateIf(isGivenAndNotNull)
  @IsArray()
  @ArrayMaxSize(100)
  @IsString({ each: true })
  allowedIps?: string[] | null;

  @Documented({ type: 'object', additionalProperties: true, required: false })
  @ValidateIf(isGiven)
  @IsObject()
  metadata?: Record<string, unknown>;
}

export class UpdateApiKeyBody extends KeyBody {
  @Documented({ type: 'string', minLength: 1, maxLength: 255, required: false })
  @ValidateIf(isGiven)
  @IsString()
  name?: string;
}

export class CreateApiKeyBody extends KeyBody {
  @Documented({ type: 'string', maxLength: 32, required: false })
  @ValidateIf(isGiven)
  @IsString()
  environment?: string;

  @Documented({ type: 'string', minLength: 1, maxLength: 255 })
  @IsString()
  name!: string;
}

/** The body of an administrator, who names the owner of the key. */
export class CreateApiKeyForOwnerBody extends CreateApiKeyBody {
  @Documented({
    type: 'string',
    required: false,
    description: 'The owner of the key, if the caller is an administrator',
  })
  @IsString()
  userId!: string;
}

/** Converts a body to the input of `ApiKeyService`. */
export function fieldsOf<Body extends KeyBody>({ expiresAt, rateLimit, quota, ...rest }: Body) {
  return {
    ...rest,
    ...(expiresAt !== undefined && { expiresAt: expiresAt === null ? null : new Date(expiresAt) }),
    ...(rateLimit !== undefined && { rateLimit: rateLimit && { ...rateLimit } }),
    ...(quota !== undefined && { quota: quota && { ...quota } }),
  };
}

export class RotateBody {
  @Documented({
    type: 'integer',
    minimum: 0,
    maximum: 2_592_000,
    default: API_KEY_DEFAULTS.overlapSeconds,
    required: false,
  })
  @ValidateIf(isGiven)
  @IsInt()
  overlapSeconds?: number;
}

export class EnableBody {
  @Documented({ type: 'string', minLength: 1, maxLength: 255, required: false })
  @ValidateIf(isGiven)
  @IsString()
  reason?: string;
}

export class DisableBody extends EnableBody {
  @Documented({ type: 'boolean', default: false, required: false })
  @ValidateIf(isGiven)
  @IsBoolean()
  everywhere?: boolean;
}
