"""Own data: tables of entities and mentions from CSV, JSON lines, Parquet, `datasets` and folders of pictures.

The ways in are the classmethods of [`~hf_mel.data.KnowledgeBase`] and [`~hf_mel.data.own.mentions.load_mentions`].
Nothing is imported here, because the knowledge base itself is built from parts of this folder.
"""
