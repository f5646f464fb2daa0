import { Type } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, Min, ValidateIf } from 'class-validator';
import {
  API_KEY_DEFAULTS,
  API_KEY_STATES,
  type ApiKeyState,
  type ListApiKeysInput,
  type RevokeOptions,
} from '../index';
import { isGiven } from './bodies';
import { Documented } from './documented';
import { InvalidRequest } from './management.pipe';

const FLAGS = ['true', 'false'] as const;
type Flag = (typeof FLAGS)[number];

export class RevokeQuery {
  @Documented({ type: 'string', enum: FLAGS, default: 'false', required: false })
  @ValidateIf(isGiven)
  @IsIn(FLAGS)
  descendants?: Flag;

  @Documented({ type: 'string', enum: FLAGS, default: 'false', required: false })
  @ValidateIf(isGiven)
  @IsIn(FLAGS)
  everywhere?: Flag;

  @Documented({ type: 'string', minLength: 1, maxLength: 255, required: false })
  @ValidateIf(isGiven)
  @IsString()
  reason?: string;
}

/** Converts the query of a revocation to the options of `ApiKeyService`. */
export function revocationOf({ descendants, everywhere, reason }: RevokeQuery): RevokeOptions {
  return {
    descendants: descendants === 'true',
    everywhere: everywhere === 'true',
    ...(reason !== undefined && { reason }),
  };
}

export class EventsQuery {
  @Documented({
    type: 'integer',
    minimum: 1,
    maximum: 100,
    default: API_KEY_DEFAULTS.pageSize,
    required: false,
  })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(100)
  limit?: number;

  @Documented({ type: 'string', required: false })
  @IsOptional()
  @IsString()
  cursor?: string;
}

export class ListQuery extends EventsQuery {
  @Documented({ type: 'string', enum: API_KEY_STATES, required: false })
  @IsOptional()
  @IsIn(API_KEY_STATES)
  state?: ApiKeyState;

  @Documented({ type: 'string', minLength: 1, maxLength: 255, required: false })
  @ValidateIf(isGiven)
  @IsString()
  search?: string;

  @Documented({
    type: 'string',
    required: false,
    description: 'JSON of the fields that the metadata contains, such as {"team":"billing"}',
  })
  @ValidateIf(isGiven)
  @IsString()
  metadata?: string;
}

/** The query of an administrator, who may name an owner. */
export class ListOfOwnersQuery extends ListQuery {
  @Documented({ type: 'string', required: false, description: 'Only keys of this owner' })
  @ValidateIf(isGiven)
  @IsString()
  userId?: string;
}

/**
 * Converts the query of a list to the input of `ApiKeyService`, without fields that are not given:
 * an owner that is undefined is an error there.
 * @throws InvalidRequest if `metadata` is not JSON
 */
export function listingOf(query: ListQuery): ListApiKeysInput {
  const { metadata, ...given } = Object.fromEntries(
    Object.entries(query).filter(([, value]) => value !== undefined),
  );
  return metadata === undefined ? given : { ...given, metadata: jsonOf(metadata) };
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidRequest(['metadata must be JSON, such as {"team":"billing"}']);
  }
}
