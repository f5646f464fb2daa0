import { type IncomingMessage, maxHeaderSize, type ServerResponse } from 'node:http';
import { HttpStatus, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { AppModule, type AppSettings } from './app.module';
import { serveDocumentation } from './documentation';
import type { Environment } from './environment';
import { noSuchAddress } from './invalid-request';
import { closeAfterBody } from './lingering-close';

/** Creates the app on Express or Fastify. `createApp` does not start to listen. */
export async function createApp(
  settings: AppSettings & Pick<Environment, 'logLevels'>,
  httpAdapter: Environment['httpAdapter'],
): Promise<INestApplication> {
  const adapter = httpAdapter === 'express' ? expressAdapter(settings) : await fastifyAdapter(settings);
  const app = await NestFactory.create(AppModule.with(settings), adapter, {
    abortOnError: false,
    logger: [...settings.logLevels],
  });
  closeAfterBody(app.getHttpServer());
  serveDocumentation(app);
  return app;
}

function expressAdapter({ trustProxy }: AppSettings) {
  const adapter = new ExpressAdapter();
  adapter.getInstance().set('trust proxy', [...trustProxy]);
  return adapter;
}

/**
 * Creates an adapter for Fastify. It answers 404 to invalid ids of any length and any bytes, as
 * Express does.
 */
async function fastifyAdapter({ trustProxy }: AppSettings) {
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return new FastifyAdapter({
    trustProxy: trustProxy.length > 0 && [...trustProxy],
    routerOptions: { maxParamLength: maxHeaderSize, onBadUrl: answerNotFound },
  });
}

function answerNotFound(_path: string, _request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(HttpStatus.NOT_FOUND, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(noSuchAddress().getResponse()));
}
