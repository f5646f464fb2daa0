import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('errors in another language', ['service', 'lifecycle']);
