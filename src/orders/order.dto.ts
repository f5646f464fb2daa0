import { Type } from 'class-transformer';
import {
  IsInt,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  Min,
  Validate,
  ValidatorConstraint,
  type ValidatorConstraintInterface,
} from 'class-validator';
import { isId } from '../ids';
import type { Order } from './order.entity';

@ValidatorConstraint({ name: 'isCursor' })
class IsCursor implements ValidatorConstraintInterface {
  validate(value: unknown): boolean {
    return typeof value === 'string' && isId(value);
  }

  defaultMessage(): string {
    return 'cursor must be the nextCursor of another page';
  }
}

export class CreateOrder {
  @IsString()
  @Length(1, 255)
  @Matches(/^[^\p{Cc}\p{Cs}]*$/u, { message: 'item must not contain control or broken characters' })
  item!: string;

  @IsInt()
  @Min(1)
  @Max(1_000_000)
  quantity!: number;
}

export class PageQuery {
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(100)
  limit?: number;

  @IsOptional()
  @Validate(IsCursor)
  cursor?: string;
}

/** Returns the fields of an order that its owner may see. */
export function presentOrder({ id, item, quantity, createdAt }: Order) {
  return { id, item, quantity, createdAt };
}
