import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { runKeysCli } from 'nestjs-api-key/cli';
import { AppModule } from './app.module.js';

async function main() {
  process.exitCode = await runKeysCli(process.argv.slice(2), {
    open: async () => {
      const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
      return { keys: app.get(ApiKeyService), findOwner: async () => null, close: () => app.close() };
    },
    stdout: process.stdout,
    stderr: process.stderr,
  });
}
void main();
