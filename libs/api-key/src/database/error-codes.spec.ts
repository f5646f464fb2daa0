import { inWords, withMissingRight } from './error-codes';

const failure = (code: string, routine?: string) =>
  Object.assign(new Error('permission denied'), { code, ...(routine && { routine }) });

it('an error about a server that only reads says what to do, and keeps its code', () => {
  const error = failure('25006');
  expect(inWords(error)).toMatchObject({
    message: expect.stringContaining('Connect to the primary, or turn the setting off'),
    code: '25006',
    cause: error,
  });
});

it('an error of row security says what to do', () => {
  expect(inWords(failure('42501', 'check_enable_rls'))).toMatchObject({
    message: expect.stringMatching(/row security is active for this role \(permission denied\)/),
    code: '42501',
  });
});

it('any other error stays the same', () => {
  const error = failure('40001');
  expect([inWords(error), withMissingRight(error)]).toEqual([error, error]);
});

it('an error about a missing right names the rights, once', () => {
  const error = withMissingRight(failure('42501', 'aclcheck_error'));
  expect(error).toMatchObject({ message: expect.stringContaining('GRANT the role'), code: '42501' });
  expect(withMissingRight(error)).toBe(error);
});
