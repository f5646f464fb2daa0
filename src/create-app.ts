import { type IncomingMessage, maxHeaderSize, type ServerResponse } from 'node:http';
import { HttpStatus, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule, type AppSettings } from './app.module';
import type { Environment } from './environment';
import { noSuchAddress } from './invalid-request';

/** The app on Express or Fastify, not yet listening. */
export async function createApp(
  settings: AppSettings,
  httpAdapter: Environment['httpAdapter'],
): Promise<INestApplication> {
  const options = { abortOnError: false } as const;
  if (httpAdapter === 'express') return NestFactory.create(AppModule.with(settings), options);
  return NestFactory.create(AppModule.with(settings), await fastifyAdapter(), options);
}

/** Fastify, but for ids that are none: of any length and any bytes they are not found, as on Express. */
async function fastifyAdapter() {
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return new FastifyAdapter({ routerOptions: { maxParamLength: maxHeaderSize, onBadUrl: answerNotFound } });
}

function answerNotFound(_path: string, _request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(HttpStatus.NOT_FOUND, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(noSuchAddress().getResponse()));
}
