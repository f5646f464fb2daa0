import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { documentApiKeys } from 'nestjs-api-key';

/** Serves the OpenAPI document at /openapi.json, and Swagger UI at /docs. */
export function serveDocumentation(app: INestApplication): void {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Orders')
    .setDescription('The sample app of nestjs-api-key')
    .setVersion('1.0')
    .build();
  const create = () => documentApiKeys(app, SwaggerModule.createDocument(app, config));
  SwaggerModule.setup('docs', app, create, {
    jsonDocumentUrl: 'openapi.json',
    yamlDocumentUrl: 'openapi.yaml',
  });
}
