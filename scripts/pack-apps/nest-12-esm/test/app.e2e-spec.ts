import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ApiKeyService } from 'nestjs-api-key';
import request from 'supertest';
import type { App } from 'supertest/types.js';
import { AppModule } from './../src/app.module.js';

describe('OrdersController (e2e)', () => {
  let app: INestApplication<App>;

  beforeAll(async () => {
    const moduleFixture = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = moduleFixture.createNestApplication();
    await app.init();
  });
  afterAll(() => app.close());

  it('refuses a request without a key', () => request(app.getHttpServer()).get('/orders').expect(401));

  it('accepts a key with the scope', async () => {
    const keys = app.get(ApiKeyService);
    const { key } = await keys.create({ userId: '7', name: 'test', scopes: ['orders:read'] });
    await request(app.getHttpServer())
      .get('/orders')
      .set('Authorization', `Bearer ${key}`)
      .expect(200, { ordersOf: '7' });
  });
});
