import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { isId } from '../ids';
import { User } from './user.entity';

/** SQL of the current time as Rails stores times: in UTC, without a time zone. */
const NOW_AS_RAILS = () => "now() AT TIME ZONE 'UTC'";

@Injectable()
export class UsersService {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /** Returns the user with an id, or `null` if there is none. */
  async find(id: string): Promise<User | null> {
    if (!isId(id)) return null;
    const [user] = await usersWhere(this.dataSource.manager, 'id = $1', id);
    return user ?? null;
  }

  /** Returns the oldest user with an email address, or `null` if there is none. */
  findByEmail(email: string): Promise<User | null> {
    return oldestOf(this.dataSource.manager, email);
  }

  /**
   * Returns the user with an email address. Creates the user if no user has the address. Concurrent
   * calls create only one user.
   */
  findOrCreate(email: string): Promise<User> {
    return this.dataSource.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [email]);
      return (await oldestOf(manager, email)) ?? insert(manager, email);
    });
  }
}

async function oldestOf(manager: EntityManager, email: string): Promise<User | null> {
  const [user] = await usersWhere(manager, 'email = $1', email);
  return user ?? null;
}

/**
 * Returns at most one user that meets a condition. Ids are read as text, because the driver may
 * parse bigint as a number. A large id that is rounded to a number is the id of another user.
 */
function usersWhere(manager: EntityManager, condition: string, value: string): Promise<User[]> {
  return manager.query(
    `SELECT id::text AS id, email FROM users WHERE ${condition} ORDER BY users.id LIMIT 1`,
    [value],
  );
}

async function insert(manager: EntityManager, email: string): Promise<User> {
  await manager.insert(User, { email, createdAt: NOW_AS_RAILS, updatedAt: NOW_AS_RAILS });
  return (await oldestOf(manager, email)) as User;
}
