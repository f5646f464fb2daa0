import { TypeORMError } from 'typeorm';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { refuseUnavailable } from './store-errors';

describe('refuseUnavailable', () => {
  it('makes a refusal of an error of TypeORM, also of another copy of TypeORM', () => {
    class FromAnotherCopy extends Error {}
    Object.defineProperty(FromAnotherCopy, 'name', { value: 'TypeORMError' });
    for (const error of [new TypeORMError('no such entity'), new FromAnotherCopy('no such entity')])
      expect(() => refuseUnavailable(error)).toThrow(ApiKeyRefusal);
  });

  it('keeps an error of the application whose class has the name of TypeORMError after a minifier', () => {
    const name = Object.getOwnPropertyDescriptor(TypeORMError, 'name');
    Object.defineProperty(TypeORMError, 'name', { value: 'e', configurable: true });
    try {
      const error = new (class e extends Error {})('the users table is locked');
      expect(() => refuseUnavailable(error)).toThrow(error);
    } finally {
      Object.defineProperty(TypeORMError, 'name', name as PropertyDescriptor);
    }
  });
});
