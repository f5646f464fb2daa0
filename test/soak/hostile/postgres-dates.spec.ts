import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('dates of POSTGRES', ['service', 'lifecycle']);
