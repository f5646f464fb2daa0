import { Inject, Injectable } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { BootCheck } from './boot-check';

/** Warns about an option that accepts keys over plaintext HTTP. */
@Injectable()
export class HttpsCheck implements BootCheck {
  constructor(@Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions) {}

  warnings(): readonly string[] {
    if (!this.options.https.loopbackException || process.env.NODE_ENV !== 'production') return [];
    return [
      'Plaintext from this machine is accepted, but a proxy on this machine that adds no header looks like a local caller. ' +
        'If there is such a proxy, set https.loopbackException: false',
    ];
  }
}
