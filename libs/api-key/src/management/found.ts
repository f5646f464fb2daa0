import { HttpStatus, NotFoundException } from '@nestjs/common';

/** A key of another owner, and an id that cannot be one, are as unknown as any. */
export class UnknownApiKey extends NotFoundException {
  constructor() {
    super({ statusCode: HttpStatus.NOT_FOUND, error: 'NOT_FOUND', message: 'There is no such API key.' });
  }
}

/** @throws UnknownApiKey where the service found nothing */
export function found<T>(value: T | null): T {
  if (value === null) throw new UnknownApiKey();
  return value;
}
