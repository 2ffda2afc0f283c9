// SPDX-License-Identifier: MIT
//
// Real Signal devices for the system tests: holds the keys and sessions of any number of
// devices in memory, and does what libsignal does with them. Talks JSON lines: a request
// {"op": ..., "device": name, ...} on stdin, its answer {"result": ...} or {"error": text}
// on stdout, one after the other. Bytes are base64; keys have the form of docs/protocol.md,
// section 2.1. signal_client.py is the other end.
import readline from 'node:readline';
import * as signal from '@signalapp/libsignal-client';

const devices = new Map();
const encode = (bytes) => Buffer.from(bytes).toString('base64');
const decode = (text) => Uint8Array.from(Buffer.from(text, 'base64'));
const keyOf = (address) => `${address.name()}/${address.deviceId()}`;

class Sessions extends signal.SessionStore {
    records = new Map();

    async saveSession(address, record) {
        this.records.set(keyOf(address), record.serialize());
    }

    async getSession(address) {
        const record = this.records.get(keyOf(address));
        return record ? signal.SessionRecord.deserialize(record) : null;
    }

    async getExistingSessions(addresses) {
        return Promise.all(addresses.map((address) => this.getSession(address)));
    }
}

// Trusts the first identity it sees, and no other one after it.
class Identities extends signal.IdentityKeyStore {
    known = new Map();

    constructor(pair, registrationId) {
        super();
        this.pair = pair;
        this.registrationId = registrationId;
    }

    async getIdentityKey() {
        return this.pair.privateKey;
    }

    async getLocalRegistrationId() {
        return this.registrationId;
    }

    async saveIdentity(address, key) {
        const old = this.known.get(keyOf(address));
        this.known.set(keyOf(address), key);
        return old && !old.equals(key) ? signal.IdentityChange.ReplacedExisting
                                       : signal.IdentityChange.NewOrUnchanged;
    }

    async isTrustedIdentity(address, key) {
        const known = this.known.get(keyOf(address));
        return known === undefined || known.equals(key);
    }

    async getIdentity(address) {
        return this.known.get(keyOf(address)) ?? null;
    }
}

class Records {
    byId = new Map();

    put(id, record) {
        this.byId.set(id, record.serialize());
    }

    get(id, type) {
        const record = this.byId.get(id);
        if (record === undefined)
            throw new Error(`no ${type.name} ${id}`);
        return type.deserialize(record);
    }
}

class PreKeys extends signal.PreKeyStore {
    records = new Records();
    async savePreKey(id, record) { this.records.put(id, record); }
    async getPreKey(id) { return this.records.get(id, signal.PreKeyRecord); }
    async removePreKey(id) { this.records.byId.delete(id); }
}

class SignedPreKeys extends signal.SignedPreKeyStore {
    records = new Records();
    async saveSignedPreKey(id, record) { this.records.put(id, record); }
    async getSignedPreKey(id) { return this.records.get(id, signal.SignedPreKeyRecord); }
}

class KyberPreKeys extends signal.KyberPreKeyStore {
    records = new Records();
    lastResort = new Set();
    async saveKyberPreKey(id, record) { this.records.put(id, record); }
    async getKyberPreKey(id) { return this.records.get(id, signal.KyberPreKeyRecord); }

    async markKyberPreKeyUsed(id) {
        if (!this.lastResort.has(id))
            this.records.byId.delete(id);
    }
}

class Device {
    nextKey = 1;
    preKeys = new PreKeys();
    signedPreKeys = new SignedPreKeys();
    kyberPreKeys = new KyberPreKeys();
    sessions = new Sessions();

    constructor(registrationId) {
        this.pair = signal.IdentityKeyPair.generate();
        this.identities = new Identities(this.pair, registrationId);
    }

    sign(bytes) {
        return this.pair.privateKey.sign(bytes);
    }

    async newPreKey() {
        const id = this.nextKey++;
        const key = signal.PrivateKey.generate();
        const publicKey = key.getPublicKey();
        await this.preKeys.savePreKey(id, signal.PreKeyRecord.new(id, publicKey, key));
        return {id, public_key: encode(publicKey.serialize())};
    }

    async newSignedPreKey() {
        const id = this.nextKey++;
        const key = signal.PrivateKey.generate();
        const publicKey = key.getPublicKey();
        const signature = this.sign(publicKey.serialize());
        await this.signedPreKeys.saveSignedPreKey(id,
            signal.SignedPreKeyRecord.new(id, Date.now(), publicKey, key, signature));
        return {id, public_key: encode(publicKey.serialize()), signature: encode(signature)};
    }

    async newKyberPreKey(lastResort = false) {
        const id = this.nextKey++;
        const pair = signal.KEMKeyPair.generate();
        const publicKey = pair.getPublicKey().serialize();
        const signature = this.sign(publicKey);
        await this.kyberPreKeys.saveKyberPreKey(id,
            signal.KyberPreKeyRecord.new(id, Date.now(), pair, signature));
        if (lastResort)
            this.kyberPreKeys.lastResort.add(id);
        return {id, public_key: encode(publicKey), signature: encode(signature)};
    }

    async newPreKeys(oneTime, pq) {
        const keys = {one_time_prekeys: [], pq_prekeys: []};
        for (let i = 0; i < oneTime; i++)
            keys.one_time_prekeys.push(await this.newPreKey());
        for (let i = 0; i < pq; i++)
            keys.pq_prekeys.push(await this.newKyberPreKey());
        return keys;
    }
}

function bundleOf(keys) {
    const publicKey = (key) => signal.PublicKey.deserialize(decode(key.public_key));
    const oneTime = keys.one_time_prekey;
    const signed = keys.signed_prekey;
    const pq = keys.pq_prekey;

    return signal.PreKeyBundle.new(keys.registration_id, keys.device_id,
        oneTime ? oneTime.id : null, oneTime ? publicKey(oneTime) : null,
        signed.id, publicKey(signed), decode(signed.signature),
        signal.PublicKey.deserialize(decode(keys.identity_key)),
        pq.id, signal.KEMPublicKey.deserialize(decode(pq.public_key)), decode(pq.signature));
}

async function decrypt(device, from, type, content) {
    const {PreKey, Whisper} = signal.CiphertextMessageType;
    if (type === PreKey)
        return signal.signalDecryptPreKey(signal.PreKeySignalMessage.deserialize(content), from,
            device.address, device.sessions, device.identities, device.preKeys,
            device.signedPreKeys, device.kyberPreKeys);
    if (type === Whisper)
        return signal.signalDecrypt(signal.SignalMessage.deserialize(content), from,
            device.address, device.sessions, device.identities);
    throw new Error(`cannot decrypt type ${type}`);
}

const operations = {
    // A new device with new keys takes the name; answers with its device object.
    async new_device({device: name, registration_id, one_time_prekeys, pq_prekeys}) {
        const device = new Device(registration_id);
        devices.set(name, device);
        return {
            name,
            registration_id,
            scheme: 'signal',
            identity_key: encode(device.pair.publicKey.serialize()),
            signed_prekey: await device.newSignedPreKey(),
            ...await device.newPreKeys(one_time_prekeys, pq_prekeys),
            pq_last_resort_prekey: await device.newKyberPreKey(true),
        };
    },

    // What the node has given it: needed before the first message.
    async bind({address, device_id}, device) {
        device.address = signal.ProtocolAddress.new(address, device_id);
    },

    async more_prekeys({one_time_prekeys, pq_prekeys}, device) {
        return device.newPreKeys(one_time_prekeys, pq_prekeys);
    },

    async new_signed_prekey(_, device) {
        return {signed_prekey: await device.newSignedPreKey()};
    },

    async has_session({to, to_device}, device) {
        const session = await device.sessions.getSession(
            signal.ProtocolAddress.new(to, to_device));
        return session !== null && session.hasCurrentState(new Date());
    },

    // Forgets session and identity of another device.
    async forget({to, to_device}, device) {
        const key = keyOf(signal.ProtocolAddress.new(to, to_device));
        device.sessions.records.delete(key);
        device.identities.known.delete(key);
    },

    // With a bundle, a new session is opened first.
    async encrypt({to, to_device, bundle, plaintext}, device) {
        const address = signal.ProtocolAddress.new(to, to_device);
        if (bundle)
            await signal.processPreKeyBundle(bundleOf(bundle), address, device.address,
                device.sessions, device.identities);
        const message = await signal.signalEncrypt(decode(plaintext), address, device.address,
            device.sessions, device.identities);
        return {type: message.type(), content: encode(message.serialize())};
    },

    async decrypt({from, from_device, type, content}, device) {
        const address = signal.ProtocolAddress.new(from, from_device);
        return encode(await decrypt(device, address, type, decode(content)));
    },

    async sign({bytes}, device) {
        return encode(device.sign(decode(bytes)));
    },
};

async function answer(line) {
    try {
        const request = JSON.parse(line);
        const device = devices.get(request.device);
        if (device === undefined && request.op !== 'new_device')
            throw new Error(`no device ${request.device}`);
        return {result: await operations[request.op](request, device) ?? null};
    } catch (error) {
        return {error: String(error)};
    }
}

for await (const line of readline.createInterface({input: process.stdin}))
    process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
