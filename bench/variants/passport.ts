import { createHash } from 'node:crypto';
import { type CanActivate, type DynamicModule, Injectable, Module, type Type } from '@nestjs/common';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey } from 'nestjs-api-key';
import type { Repository } from 'typeorm';
import { importCompared } from '../compared';
import { connection } from './connection';
import { guardedRoute } from './guarded-route';

/** The parts of `@nestjs/passport` and `passport-headerapikey` that the benchmark uses. */
interface NestPassport {
  PassportStrategy(strategy: Type): new (options: object, passRequest: boolean) => object;
  AuthGuard(name: string): Type<CanActivate>;
  readonly PassportModule: Type;
}
interface HeaderApiKey {
  readonly default: { readonly HeaderAPIKeyStrategy: Type };
}

@Module({})
class PassportRouteModule {}

/**
 * The route behind `@nestjs/passport` and `passport-headerapikey`, written as the documentation of
 * both packages shows. The strategy finds the key through TypeORM's repository and checks the
 * expiry.
 */
export async function passport(databaseUrl: string): Promise<DynamicModule> {
  const { PassportStrategy, AuthGuard, PassportModule } =
    await importCompared<NestPassport>('@nestjs/passport');
  const { HeaderAPIKeyStrategy } = (await importCompared<HeaderApiKey>('passport-headerapikey')).default;

  @Injectable()
  class KeyStrategy extends PassportStrategy(HeaderAPIKeyStrategy) {
    constructor(@InjectRepository(ApiKey) private readonly keys: Repository<ApiKey>) {
      super({ header: 'Authorization', prefix: 'Bearer ' }, false);
    }

    async validate(key: string): Promise<{ id: string } | null> {
      const keyDigest = createHash('sha256').update(key).digest('hex');
      const found = await this.keys.findOneBy({ keyDigest });
      return found && (!found.expiresAt || found.expiresAt > new Date()) ? { id: found.userId } : null;
    }
  }

  return {
    module: PassportRouteModule,
    imports: [
      TypeOrmModule.forRoot({ ...connection(databaseUrl), entities: [ApiKey] }),
      TypeOrmModule.forFeature([ApiKey]),
      PassportModule,
    ],
    providers: [KeyStrategy],
    controllers: [guardedRoute(AuthGuard('headerapikey'))],
  };
}
