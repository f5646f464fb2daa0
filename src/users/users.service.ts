import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { isId } from '../ids';
import { User } from './user.entity';

/** Rails keeps its times in UTC, without time zone. */
const NOW_AS_RAILS = () => "now() AT TIME ZONE 'UTC'";

@Injectable()
export class UsersService {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /** The user of an id, or null. */
  async find(id: string): Promise<User | null> {
    return isId(id) ? this.dataSource.manager.findOneBy(User, { id }) : null;
  }

  /** The first user of an address, or null. */
  findByEmail(email: string): Promise<User | null> {
    return oldestOf(this.dataSource.manager, email);
  }

  /** The user of an address, made where there is none; of two calls at once only one makes it. */
  findOrCreate(email: string): Promise<User> {
    return this.dataSource.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [email]);
      return (await oldestOf(manager, email)) ?? insert(manager, email);
    });
  }
}

function oldestOf(manager: EntityManager, email: string): Promise<User | null> {
  return manager.findOne(User, { where: { email }, order: { id: 'ASC' } });
}

async function insert(manager: EntityManager, email: string): Promise<User> {
  const { identifiers } = await manager.insert(User, {
    email,
    createdAt: NOW_AS_RAILS,
    updatedAt: NOW_AS_RAILS,
  });
  return manager.findOneByOrFail(User, { id: identifiers[0]?.id });
}
