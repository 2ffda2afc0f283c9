// SPDX-License-Identifier: MIT
//
// Makes signatures.txt: what real clients sign, by scheme. Needs Node 20.11 or newer and
// `npm install @signalapp/libsignal-client@0.103`; run it in the folder with node_modules:
//
//   node make_xeddsa.mjs > signatures.txt
//
// Each line: scheme, identity key, message and signature, in hex. Keys are new each time.
import { webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';

// From where it is run, so that this file need not lie beside node_modules.
const require = createRequire(path.join(process.cwd(), 'here.js'));
const { pathToFileURL } = require('node:url');
const signal = await import(
	pathToFileURL(require.resolve('@signalapp/libsignal-client')).href);
const { subtle } = webcrypto;

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const line = (...fields) => console.log(fields.join(' '));

console.log('# scheme identity message signature; made by make_xeddsa.mjs');

function signalLine(message) {
	const identity = signal.IdentityKeyPair.generate();
	const signature = identity.privateKey.sign(message);
	line('signal', hex(identity.publicKey.serialize()), hex(message), hex(signature));
	return signature[63] >> 7;
}

// The sign of the Edwards key rides in the top bit of a signature; want many of both.
const signs = [0, 0];
for (let i = 0; i < 64; i++)
	signs[signalLine(signal.PrivateKey.generate().getPublicKey().serialize())]++;
for (let i = 0; i < 4; i++)
	signs[signalLine(signal.KEMKeyPair.generate().getPublicKey().serialize())]++;
if (Math.min(...signs) < 8)
	throw new Error(`unlucky signs ${signs}: run again`);

async function webLines(name, generate, format, sign, prekey) {
	for (let i = 0; i < 8; i++) {
		const identity = await subtle.generateKey(generate, true, ['sign', 'verify']);
		const other = await subtle.generateKey(prekey, true, ['deriveBits']);
		const message = await subtle.exportKey(format, other.publicKey);
		const signature = await subtle.sign(sign, identity.privateKey, message);
		line(name, hex(await subtle.exportKey(format, identity.publicKey)),
			hex(message), hex(signature));
	}
}

for (const [name, namedCurve, hash] of [['p256', 'P-256', 'SHA-256'],
					 ['p384', 'P-384', 'SHA-384']])
	await webLines(name, { name: 'ECDSA', namedCurve }, 'spki',
		{ name: 'ECDSA', hash }, { name: 'ECDH', namedCurve });
await webLines('ed25519', { name: 'Ed25519' }, 'raw', { name: 'Ed25519' }, { name: 'X25519' });
