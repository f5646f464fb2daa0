import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Creates the table `users` with the columns of Rails. If the table exists, for example from a
 * Rails app, it stays unchanged.
 */
export class CreateUsers1763855940000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS users (
        id bigserial PRIMARY KEY,
        email varchar NOT NULL,
        created_at timestamp(6) NOT NULL,
        updated_at timestamp(6) NOT NULL
      )`);
  }

  /** Keeps the table `users`, because the table may belong to a Rails app. */
  async down(): Promise<void> {}
}

export class CreateOrders1763856060000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE orders (
        id bigserial PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        item varchar NOT NULL,
        quantity integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      )`);
    await runner.query('CREATE INDEX orders_of_user ON orders (user_id, id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE orders');
  }
}
