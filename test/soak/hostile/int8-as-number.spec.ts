import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('int8 as a number', ['service', 'lifecycle']);
