import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('dates of SQL', ['service', 'lifecycle']);
