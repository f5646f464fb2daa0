import {
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  Injectable,
  Module,
  UnauthorizedException,
} from '@nestjs/common';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey } from 'nestjs-api-key';
import type { Repository } from 'typeorm';
import { presentedDigest } from './bearer';
import { connection } from './connection';
import { guardedRoute } from './guarded-route';

@Injectable()
class FindOneByGuard implements CanActivate {
  constructor(@InjectRepository(ApiKey) private readonly keys: Repository<ApiKey>) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const keyDigest = presentedDigest(context.switchToHttp().getRequest());
    if (keyDigest === null || !(await this.keys.findOneBy({ keyDigest }))) throw new UnauthorizedException();
    return true;
  }
}

@Module({})
class FindOneByModule {}

/** The route behind one look-up through TypeORM's repository. No field of the row is checked. */
export function findOneBy(databaseUrl: string): DynamicModule {
  return {
    module: FindOneByModule,
    imports: [
      TypeOrmModule.forRoot({ ...connection(databaseUrl), entities: [ApiKey] }),
      TypeOrmModule.forFeature([ApiKey]),
    ],
    controllers: [guardedRoute(FindOneByGuard)],
  };
}
