import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule, type AppSettings } from './app.module';
import type { Environment } from './environment';

/** The app on Express or Fastify, not yet listening. */
export async function createApp(
  settings: AppSettings,
  httpAdapter: Environment['httpAdapter'],
): Promise<INestApplication> {
  const options = { abortOnError: false } as const;
  if (httpAdapter === 'express') return NestFactory.create(AppModule.with(settings), options);
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(AppModule.with(settings), new FastifyAdapter(), options);
}
