import { HttpStatus, NotFoundException } from '@nestjs/common';

/**
 * The response for an unknown key. A key of another owner, and an invalid id, get the same
 * response.
 */
export class UnknownApiKey extends NotFoundException {
  constructor() {
    super({ statusCode: HttpStatus.NOT_FOUND, error: 'NOT_FOUND', message: 'There is no such API key.' });
  }
}

/** @throws UnknownApiKey if the service found nothing */
export function found<T>(value: T | null): T {
  if (value === null) throw new UnknownApiKey();
  return value;
}
