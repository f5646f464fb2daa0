import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get, HttpStatus, ServiceUnavailableException } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { SharedCheck } from './shared-check';

/** Milliseconds until a database without a response counts as unavailable. */
const DEADLINE_MS = 1_000;
/**
 * Milliseconds between two statements. Anybody may call this endpoint, so concurrent requests share
 * one statement.
 */
const PAUSE_MS = 100;

@Controller('health')
export class HealthController {
  private readonly database = new SharedCheck(() => this.ask(), PAUSE_MS);

  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  @Get()
  async check() {
    await Promise.race([this.database.pass(), afterTheDeadline()]).catch(() => {
      throw new ServiceUnavailableException({
        statusCode: HttpStatus.SERVICE_UNAVAILABLE,
        status: 'unavailable',
        message: 'The database does not answer, or is a replica.',
      });
    });
    return { status: 'ok' };
  }

  private async ask(): Promise<void> {
    const primary = await this.dataSource.query('SELECT 1 WHERE NOT pg_is_in_recovery()');
    if (primary.length === 0) throw new Error('the database is a replica');
  }
}

async function afterTheDeadline(): Promise<never> {
  await delay(DEADLINE_MS, undefined, { ref: false });
  throw new Error(`no answer within ${DEADLINE_MS} ms`);
}
