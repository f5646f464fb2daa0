import { refuseCommit, UnknownOutcome } from './unknown-outcome';

function errorOf(given: unknown): unknown {
  try {
    return refuseCommit(given);
  } catch (error) {
    return error;
  }
}

const failure = (code?: string) => Object.assign(new Error('lost'), code === undefined ? {} : { code });

it('a COMMIT that PostgreSQL refused did not happen, so that its error stays as it is', () => {
  const refused = failure('40001');
  expect(errorOf(refused)).toBe(refused);
});

it.each(['ECONNRESET', '57P01'])('the outcome of a COMMIT is unknown if the connection ended: %s', (code) => {
  const lost = failure(code);
  expect(errorOf(lost)).toBeInstanceOf(UnknownOutcome);
  expect(errorOf(lost)).toMatchObject({ message: 'lost', code, cause: lost });
});

it('the outcome of a COMMIT is unknown if the driver gives no code', () => {
  const error = errorOf(failure());
  expect(error).toBeInstanceOf(UnknownOutcome);
  expect(error).not.toHaveProperty('code');
});
