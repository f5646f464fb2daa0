import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
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
  @ApiProperty({ minLength: 1, maxLength: 255 })
  @IsString()
  @Length(1, 255)
  @Matches(/^[^\p{Cc}\p{Cs}]*$/u, { message: 'item must not contain control or broken characters' })
  item!: string;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: 1_000_000 })
  @IsInt()
  @Min(1)
  @Max(1_000_000)
  quantity!: number;
}

export class PageQuery {
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 100 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(100)
  limit?: number;

  @ApiPropertyOptional()
  @IsOptional()
  @Validate(IsCursor)
  cursor?: string;
}

/** The fields of an order that its owner may see. */
export class OrderAnswer {
  @ApiProperty()
  readonly id!: string;

  @ApiProperty()
  readonly item!: string;

  @ApiProperty({ type: 'integer' })
  readonly quantity!: number;

  @ApiProperty({ format: 'date-time' })
  readonly createdAt!: string;
}

export class OrderPage {
  @ApiProperty({ type: [OrderAnswer] })
  readonly items!: OrderAnswer[];

  @ApiProperty({ type: String, nullable: true })
  readonly nextCursor!: string | null;
}

export function presentOrder({ id, item, quantity, createdAt }: Order): OrderAnswer {
  return { id, item, quantity, createdAt };
}
