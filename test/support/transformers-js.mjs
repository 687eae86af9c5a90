// Features by transformers.js, in a process of its own: `node transformers-js.mjs FOLDER [dtype] PICTURE …` prints them as JSON.
import { env, pipeline } from '@huggingface/transformers';

const [folder, dtype, ...pictures] = process.argv.slice(2);
env.allowRemoteModels = false;
const extract = await pipeline('image-feature-extraction', folder, dtype === 'default' ? {} : { dtype });
const plain = ({ dims, data }) => ({ dims, data: [...data] });
const pooled = plain(await extract(pictures, { pool: true }));
console.log(JSON.stringify({ pooled, tokens: plain(await extract(pictures)) }));
