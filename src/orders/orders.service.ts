import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LessThan, Repository } from 'typeorm';
import { isId } from '../ids';
import type { CreateOrder, PageQuery } from './order.dto';
import { Order } from './order.entity';

const DEFAULT_LIMIT = 50;

/** Reads and creates the orders of one user. */
@Injectable()
export class OrdersService {
  constructor(@InjectRepository(Order) private readonly orders: Repository<Order>) {}

  /** Returns a page of the orders of a user, newest first. */
  async list(userId: string, { limit = DEFAULT_LIMIT, cursor }: PageQuery) {
    const where = { userId, ...(cursor && { id: LessThan(cursor) }) };
    const found = await this.orders.find({ where, order: { id: 'DESC' }, take: limit + 1 });
    const items = found.slice(0, limit);
    return { items, nextCursor: found.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  async find(userId: string, id: string): Promise<Order | null> {
    return isId(id) ? this.orders.findOneBy({ id, userId }) : null;
  }

  async create(userId: string, { item, quantity }: CreateOrder): Promise<Order> {
    const { identifiers } = await this.orders.insert({ userId, item, quantity });
    return this.orders.findOneByOrFail({ id: identifiers[0]?.id, userId });
  }
}
