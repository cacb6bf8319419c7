"""A random Qwen3-VL of less than a million parameters with a working processor, tokenizer and chat template.

It is made offline in about a second and is the same each time. What it says means nothing, but it says it in the real
architecture, so that engines, grammars, adapters and trainers run as they do on the model of production.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

MOST_PIXELS = 768 * 768
"""Pictures are scaled to at most so many."""
CONTEXT = 32768
_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
_TEMPLATE = """
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""
_WORDS = """the of and a to in is that for it as was on be at by with from or which this are not an when who will more
no if out so said what up its about into than them can only other new some could time these two may then do first any
my now such like our over even most made after also did many before must through back years where much your way well
down should because each just those people how too little state good very make world still own see men work long get
here between both life being under never day same another know while last might us great old year off come since
against go came right used take three recording second seconds screen shows moment picture frame window button hand
object scene question answer option step action start end text kind content place box point count order""".split()  # noqa: SIM905
_NAMES = """answer answers actions action box boxes caption choices claims count description difficulty duration end
evidence explanation frame frames goal instruction items kind label name options order outcome question questions
reason segments start state steps summary task text time title type value""".split()  # noqa: SIM905


def make(folder: Path, seed: int = 0) -> Path:
    """Saves model and processor into `folder`, as a checkpoint of the hub is laid out, and returns it."""
    import torch
    from transformers import Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    tokenizer = _tokenizer()
    sizes = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
    pixels = {"shortest_edge": 32 * 32, "longest_edge": MOST_PIXELS}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes, size=pixels),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**sizes, size=pixels),
        chat_template=_TEMPLATE.strip(),
    )
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in _SPECIAL}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 192,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": CONTEXT,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [6, 5, 5]},
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 1,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 16,
            "out_hidden_size": 128,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
    _incline_to_end(model, tokenizer)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _incline_to_end(model, tokenizer) -> None:
    """Every text token has one direction in common, from which the head reads a liking for what closes strings, lists
    and objects: else a random model writes one string until its tokens are spent."""
    import torch

    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings *= 10
        embeddings[:, 0] += 3.0
        head = model.get_output_embeddings().weight
        head *= 8
        head[:, 0] = 0.0
        for token in tokenizer.get_vocab():
            if set(token) <= set('"]},'):
                head[tokenizer.convert_tokens_to_ids(token), 0] = 0.5
        head[tokenizer.convert_tokens_to_ids("<|im_end|>"), 0] = 0.5


def _tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    trained.train_from_iterator(_text(), trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    return Qwen2TokenizerFast(
        vocab=model["vocab"],
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=list(_SPECIAL[1:]),
    )


def _text():
    """Sentences and JSON of the kind that prompts hold."""
    dice = random.Random(0)
    for _ in range(400):
        yield " ".join(dice.choices(_WORDS, k=12)) + ". "
        yield json.dumps({name: dice.choice(_WORDS) for name in dice.sample(_NAMES, 4)}, separators=(",", ":"))
