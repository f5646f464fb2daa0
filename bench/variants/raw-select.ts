import {
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  Inject,
  Injectable,
  Module,
  UnauthorizedException,
} from '@nestjs/common';
import { Pool } from 'pg';
import { presentedDigest } from './bearer';
import { POOL_SIZE } from './connection';
import { guardedRoute } from './guarded-route';

@Injectable()
class RawSelectGuard implements CanActivate {
  constructor(@Inject(Pool) private readonly pool: Pool) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const digest = presentedDigest(context.switchToHttp().getRequest());
    if (digest === null) throw new UnauthorizedException();
    const { rows } = await this.pool.query({
      name: 'key',
      text: 'SELECT * FROM api_keys WHERE key_digest = $1',
      values: [digest],
    });
    if (rows.length === 0) throw new UnauthorizedException();
    return true;
  }
}

@Module({})
class RawSelectModule {}

/**
 * The minimum cost of a look-up in PostgreSQL: one prepared SELECT by digest. No field of the row
 * is checked.
 */
export function rawSelect(databaseUrl: string): DynamicModule {
  const pool = { provide: Pool, useValue: new Pool({ connectionString: databaseUrl, max: POOL_SIZE }) };
  return { module: RawSelectModule, providers: [pool], controllers: [guardedRoute(RawSelectGuard)] };
}
