/** A response of an OpenAPI document, or a reference to one. */
export interface Response {
  readonly description?: string;
  readonly headers?: object;
  readonly content?: object;
}

/** Adds the two ways to send a key, and the body of a refusal, to the components of a document. */
export function withKeySchemes(components: object = {}, headerName: string): object {
  const { securitySchemes, schemas } = components as { securitySchemes?: object; schemas?: object };
  return {
    ...components,
    securitySchemes: { ...securitySchemes, ...keySchemes(headerName) },
    schemas: { ...schemas, ApiKeyRefusal: REFUSAL },
  };
}

/** Adds the refusals of the guards to the responses of an operation. */
export function withRefusals(declared: Readonly<Record<string, Response>> = {}): Record<string, Response> {
  const responses = { ...declared };
  for (const [status, ours] of Object.entries(REFUSALS)) responses[status] = merged(declared[status], ours);
  return responses;
}

/** What the application declares comes first, and keeps its body. */
function merged(declared: Response | undefined, ours: Response): Response {
  if (!declared) return ours;
  if ('$ref' in declared) return declared;
  return {
    ...ours,
    ...declared,
    description: [declared.description, ours.description].filter(Boolean).join('; '),
    headers: { ...ours.headers, ...declared.headers },
  };
}

function keySchemes(headerName: string) {
  return {
    bearer: {
      type: 'http',
      scheme: 'bearer',
      description: `Authorization: Bearer <API key>. It comes before ${headerName}.`,
    },
    apiKey: {
      type: 'apiKey',
      in: 'header',
      name: headerName,
      description: 'Read only if Authorization has no Bearer credential, or an empty one.',
    },
  };
}

const REFUSAL = {
  type: 'object',
  required: ['statusCode', 'error', 'message'],
  properties: {
    statusCode: { type: 'integer' },
    error: { type: 'string' },
    message: { type: 'string' },
    missing: {
      type: 'array',
      items: { type: 'string' },
      description: 'INSUFFICIENT_SCOPE: the scopes that the key lacks',
    },
  },
};

const header = (type: 'integer' | 'string', description: string) => ({ description, schema: { type } });
const CHALLENGE = { 'WWW-Authenticate': header('string', 'RFC 6750, with what the key lacks') };
const RETRY = { 'Retry-After': header('integer', 'Seconds until a new request may succeed') };

const REFUSALS: Readonly<Record<string, Response>> = {
  401: refusal(
    'MISSING_API_KEY: no API key was sent. INVALID_API_KEY: the API key is not valid, or its header was sent twice',
    CHALLENGE,
  ),
  403: refusal('INSUFFICIENT_SCOPE, WRONG_ENVIRONMENT, HTTPS_REQUIRED or IP_NOT_ALLOWED', CHALLENGE),
  429: refusal('RATE_LIMITED or QUOTA_EXCEEDED: try again after Retry-After', {
    ...RETRY,
    'RateLimit-Policy': header('string', 'The limits: quota `q` in a window of `w` seconds'),
    RateLimit: header('string', 'What is left: `r` requests, and more in `t` seconds'),
  }),
  503: refusal('KEY_STORE_UNAVAILABLE: try again after Retry-After', RETRY),
};

function refusal(description: string, headers: object): Response {
  const schema = { $ref: '#/components/schemas/ApiKeyRefusal' };
  return { description, headers, content: { 'application/json': { schema } } };
}
