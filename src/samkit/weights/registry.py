"""Named models: where their weights are, and their properties.

Importing this module imports neither torch nor the networks.
"""

# Rows are two lines of any length.
# ruff: noqa: E501

import difflib
from dataclasses import dataclass

from samkit.errors import UnknownModelError
from samkit.sizes import (
    NetworkConfig,
    edge_tam,
    efficient_tam,
    efficient_vit_sam,
    hq_sam,
    hq_sam2,
    med_sam2,
    mobile_sam,
    pico,
    rep_vit_sam,
    sam2,
    sam3,
    sam_vit,
    slim_sam,
)

__all__ = ["MODELS", "RegisteredModel", "did_you_mean", "find_model", "name_elsewhere"]

_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2/072824"
_SAM21 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_MOBILE = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights"
_TINY = "https://github.com/xinghaochen/TinySAM/releases/download/3.0"
_REPVIT = "https://github.com/THU-MIG/RepViT/releases/download/v1.0"
_BIOIMAGE = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"
# The files of a folder in the layout of transformers.
_FOLDER = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """One named model.

    Attributes:
        name: what `samkit.load` is called with.
        config: sizes of the network.
        parameters: number of trainable values.
        year: of publication.
        url: where its weights are published.
        sha256: of the whole file, in hexadecimal digits; None: nobody has published it, so that
            the file is not downloaded but put into the cache by hand.
        repository: on the Hugging Face hub, in which the weights are instead of at a URL.
        hub_file: their file there.
        licence: SPDX identifier of the weights' licence.
        is_gated: whether its publisher has to permit the download.
    """

    name: str
    config: NetworkConfig
    parameters: int
    year: int
    url: str | None = None
    sha256: str | None = None
    repository: str | None = None
    hub_file: str = _FOLDER
    licence: str = "Apache-2.0"
    is_gated: bool = False

    @property
    def is_bundled(self) -> bool:
        """Whether its weights are part of the package."""
        return self.url is None and self.repository is None

    @property
    def is_folder(self) -> bool:
        """Whether its weights are a folder in the layout of transformers."""
        return self.repository is not None and self.hub_file == _FOLDER

    @property
    def filename(self) -> str:
        """Name of the weight file in the cache; of a folder, that of its repository."""
        if self.repository is not None:
            return self.repository.rpartition("/")[2] if self.is_folder else self.hub_file
        if self.url is None:
            return f"{self.name}.safetensors"
        published = self.url.rpartition("/")[2]
        # Files that are fetched by hand are often called as those of others.
        return published if self.sha256 else f"{self.name}.{published.rpartition('.')[2]}"


# fmt: off
_TABLE = (
    RegisteredModel(name="pico", config=pico(), parameters=6_216_206, year=2026),
    RegisteredModel(name="sam-vit-b", config=sam_vit("b"), parameters=93_735_472, year=2023,
        url=f"{_SAM}/sam_vit_b_01ec64.pth", sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    RegisteredModel(name="sam-vit-l", config=sam_vit("l"), parameters=312_342_832, year=2023,
        url=f"{_SAM}/sam_vit_l_0b3195.pth", sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    RegisteredModel(name="sam-vit-h", config=sam_vit("h"), parameters=641_090_608, year=2023,
        url=f"{_SAM}/sam_vit_h_4b8939.pth", sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    RegisteredModel(name="mobile-sam", config=mobile_sam(), parameters=9_808_452, year=2023,
        url=f"{_MOBILE}/mobile_sam.pt", sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"),
    RegisteredModel(name="sam2-tiny", config=sam2("tiny", version="2"), parameters=38_945_986, year=2024,
        url=f"{_SAM2}/sam2_hiera_tiny.pt", sha256="65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
    RegisteredModel(name="sam2-small", config=sam2("small", version="2"), parameters=46_043_842, year=2024,
        url=f"{_SAM2}/sam2_hiera_small.pt", sha256="95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
    RegisteredModel(name="sam2-base-plus", config=sam2("base-plus", version="2"), parameters=80_833_666, year=2024,
        url=f"{_SAM2}/sam2_hiera_base_plus.pt", sha256="d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"),
    RegisteredModel(name="sam2-large", config=sam2("large", version="2"), parameters=224_430_130, year=2024,
        url=f"{_SAM2}/sam2_hiera_large.pt", sha256="7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
    RegisteredModel(name="sam2.1-tiny", config=sam2("tiny"), parameters=38_962_498, year=2024,
        url=f"{_SAM21}/sam2.1_hiera_tiny.pt", sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    RegisteredModel(name="sam2.1-small", config=sam2("small"), parameters=46_060_354, year=2024,
        url=f"{_SAM21}/sam2.1_hiera_small.pt", sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    RegisteredModel(name="sam2.1-base-plus", config=sam2("base-plus"), parameters=80_850_178, year=2024,
        url=f"{_SAM21}/sam2.1_hiera_base_plus.pt", sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    RegisteredModel(name="sam2.1-large", config=sam2("large"), parameters=224_446_642, year=2024,
        url=f"{_SAM21}/sam2.1_hiera_large.pt", sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    RegisteredModel(name="hq-sam-tiny", config=hq_sam("tiny"), parameters=10_256_964, year=2023,
        repository="lkeab/hq-sam", hub_file="sam_hq_vit_tiny.pth"),
    RegisteredModel(name="hq-sam-vit-b", config=hq_sam("b"), parameters=94_806_576, year=2023,
        repository="lkeab/hq-sam", hub_file="sam_hq_vit_b.pth"),
    RegisteredModel(name="hq-sam-vit-l", config=hq_sam("l"), parameters=313_676_080, year=2023,
        repository="lkeab/hq-sam", hub_file="sam_hq_vit_l.pth"),
    RegisteredModel(name="hq-sam-vit-h", config=hq_sam("h"), parameters=642_686_000, year=2023,
        repository="lkeab/hq-sam", hub_file="sam_hq_vit_h.pth"),
    RegisteredModel(name="hq-sam2.1-large", config=hq_sam2(), parameters=224_623_794, year=2024,
        repository="lkeab/hq-sam", hub_file="sam2.1_hq_hiera_large.pt"),
    RegisteredModel(name="edge-tam", config=edge_tam(), parameters=13_895_794, year=2025, repository="yonigozlan/EdgeTAM-hf"),
    RegisteredModel(name="efficient-tam-s", config=efficient_tam("s"), parameters=34_055_842, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_s.pt"),
    RegisteredModel(name="efficient-tam-s-1", config=efficient_tam("s", pooling="logits"), parameters=34_055_842, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_s_1.pt"),
    RegisteredModel(name="efficient-tam-s-2", config=efficient_tam("s", pooling="keys"), parameters=34_055_842, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_s_2.pt"),
    RegisteredModel(name="efficient-tam-s-512", config=efficient_tam("s", side=512), parameters=34_055_842, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_s_512x512.pt"),
    RegisteredModel(name="efficient-tam-ti", config=efficient_tam("ti"), parameters=17_866_018, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_ti.pt"),
    RegisteredModel(name="efficient-tam-ti-1", config=efficient_tam("ti", pooling="logits"), parameters=17_866_018, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_ti_1.pt"),
    RegisteredModel(name="efficient-tam-ti-2", config=efficient_tam("ti", pooling="keys"), parameters=17_866_018, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_ti_2.pt"),
    RegisteredModel(name="efficient-tam-ti-512", config=efficient_tam("ti", side=512), parameters=17_866_018, year=2024,
        repository="yunyangx/efficient-track-anything", hub_file="efficienttam_ti_512x512.pt"),
    RegisteredModel(name="efficient-vit-sam-l0", config=efficient_vit_sam("l0"), parameters=34_792_784, year=2024,
        repository="mit-han-lab/efficientvit-sam", hub_file="efficientvit_sam_l0.pt"),
    RegisteredModel(name="efficient-vit-sam-l1", config=efficient_vit_sam("l1"), parameters=47_650_128, year=2024,
        repository="mit-han-lab/efficientvit-sam", hub_file="efficientvit_sam_l1.pt"),
    RegisteredModel(name="efficient-vit-sam-l2", config=efficient_vit_sam("l2"), parameters=61_328_592, year=2024,
        repository="mit-han-lab/efficientvit-sam", hub_file="efficientvit_sam_l2.pt"),
    RegisteredModel(name="efficient-vit-sam-xl0", config=efficient_vit_sam("xl0"), parameters=116_957_904, year=2024,
        repository="mit-han-lab/efficientvit-sam", hub_file="efficientvit_sam_xl0.pt"),
    RegisteredModel(name="efficient-vit-sam-xl1", config=efficient_vit_sam("xl1"), parameters=203_346_128, year=2024,
        repository="mit-han-lab/efficientvit-sam", hub_file="efficientvit_sam_xl1.pt"),
    RegisteredModel(name="rep-vit-sam", config=rep_vit_sam(), parameters=27_223_480, year=2023,
        url=f"{_REPVIT}/repvit_sam.pt"),
    RegisteredModel(name="sam3", config=sam3(), parameters=465_782_146, year=2025, licence="LicenseRef-SAM-License",
        repository="facebook/sam3", is_gated=True),
    RegisteredModel(name="sam3.1", config=sam3("3.1"), parameters=457_407_889, year=2026, licence="LicenseRef-SAM-License",
        repository="facebook/sam3.1", hub_file="sam3.1_multiplex.pt", is_gated=True),
    RegisteredModel(name="tiny-sam", config=mobile_sam(), parameters=9_808_452, year=2023,
        url=f"{_TINY}/tinysam_42.3.pth"),
    RegisteredModel(name="slim-sam-50", config=slim_sam("50"), parameters=27_961_776, year=2023,
        repository="nielsr/slimsam-50-uniform"),
    RegisteredModel(name="slim-sam-77", config=slim_sam("77"), parameters=9_723_528, year=2023,
        repository="nielsr/slimsam-77-uniform"),
    RegisteredModel(name="micro-sam-vit-t-lm", config=mobile_sam(), parameters=9_808_452, year=2025, licence="see BioImage.IO",
        url=f"{_BIOIMAGE}/faithful-chicken/1.1/files/vit_t.pt"),
    RegisteredModel(name="micro-sam-vit-b-lm", config=sam_vit("b"), parameters=93_735_472, year=2025, licence="see BioImage.IO",
        url=f"{_BIOIMAGE}/diplomatic-bug/1.2/files/vit_b.pt"),
    RegisteredModel(name="micro-sam-vit-l-lm", config=sam_vit("l"), parameters=312_342_832, year=2025, licence="see BioImage.IO",
        url=f"{_BIOIMAGE}/idealistic-rat/1.2/files/vit_l.pt"),
    RegisteredModel(name="micro-sam-vit-t-em-organelles", config=mobile_sam(), parameters=9_808_452, year=2025, licence="see BioImage.IO",
        url=f"{_BIOIMAGE}/greedy-whale/1/files/vit_t.pt"),
    RegisteredModel(name="micro-sam-vit-b-em-organelles", config=sam_vit("b"), parameters=93_735_472, year=2025, licence="see BioImage.IO",
        url=f"{_BIOIMAGE}/noisy-ox/1.2/files/vit_b.pt"),
    RegisteredModel(name="micro-sam-vit-l-em-organelles", config=sam_vit("l"), parameters=312_342_832, year=2025, licence="see BioImage.IO",
        url=f"{_BIOIMAGE}/humorous-crab/1.2/files/vit_l.pt"),
    RegisteredModel(name="medsam2", config=med_sam2(), parameters=38_962_498, year=2025, licence="CC-BY-SA-4.0",
        repository="wanglab/MedSAM2", hub_file="MedSAM2_latest.pt"),
    RegisteredModel(name="medsam2-2411", config=med_sam2(), parameters=38_962_498, year=2025, licence="CC-BY-SA-4.0",
        repository="wanglab/MedSAM2", hub_file="MedSAM2_2411.pt"),
    RegisteredModel(name="medsam2-ct-lesion", config=med_sam2(), parameters=38_962_498, year=2025, licence="CC-BY-SA-4.0",
        repository="wanglab/MedSAM2", hub_file="MedSAM2_CTLesion.pt"),
    RegisteredModel(name="medsam2-mri-liver-lesion", config=med_sam2(), parameters=38_962_498, year=2025, licence="CC-BY-SA-4.0",
        repository="wanglab/MedSAM2", hub_file="MedSAM2_MRI_LiverLesion.pt"),
    RegisteredModel(name="medsam2-us-heart", config=med_sam2(), parameters=38_962_498, year=2025, licence="CC-BY-SA-4.0",
        repository="wanglab/MedSAM2", hub_file="MedSAM2_US_Heart.pt"),
)
# fmt: on

MODELS: dict[str, RegisteredModel] = {model.name: model for model in _TABLE}
"""Name -> model, in the order in which `samkit models` lists them."""


# Name here -> names elsewhere, and those of files without their suffix: Ultralytics (sam_b, sam2_t),
# Meta's keys and files (vit_b, sam2_hiera_tiny) and configs (sam2_hiera_t), Hugging Face
# (sam-vit-base, sam2-hiera-tiny), and the publishers' own. Read with "_" for "-".
_ELSEWHERE = {
    "sam-vit-b": ("sam_b", "vit_b", "sam_vit_b_01ec64", "sam_vit_base"),
    "sam-vit-l": ("sam_l", "vit_l", "sam_vit_l_0b3195", "sam_vit_large"),
    "sam-vit-h": ("sam_h", "vit_h", "sam_vit_h_4b8939", "sam_vit_huge"),
    "mobile-sam": ("mobile_sam", "vit_t"),
    "sam2-tiny": ("sam2_t", "sam2_hiera_t", "sam2_hiera_tiny"),
    "sam2-small": ("sam2_s", "sam2_hiera_s", "sam2_hiera_small"),
    "sam2-base-plus": ("sam2_b", "sam2_hiera_b+", "sam2_hiera_base_plus"),
    "sam2-large": ("sam2_l", "sam2_hiera_l", "sam2_hiera_large"),
    "sam2.1-tiny": ("sam2.1_t", "sam2.1_hiera_t", "sam2.1_hiera_tiny"),
    "sam2.1-small": ("sam2.1_s", "sam2.1_hiera_s", "sam2.1_hiera_small"),
    "sam2.1-base-plus": ("sam2.1_b", "sam2.1_hiera_b+", "sam2.1_hiera_base_plus"),
    "sam2.1-large": ("sam2.1_l", "sam2.1_hiera_l", "sam2.1_hiera_large"),
    "hq-sam-tiny": ("sam_hq_vit_tiny",),
    "hq-sam-vit-b": ("sam_hq_vit_b", "sam_hq_vit_base"),
    "hq-sam-vit-l": ("sam_hq_vit_l", "sam_hq_vit_large"),
    "hq-sam-vit-h": ("sam_hq_vit_h", "sam_hq_vit_huge"),
    "hq-sam2.1-large": ("sam2.1_hq_hiera_l", "sam2.1_hq_hiera_large"),
    "edge-tam": ("edgetam", "edgetam_hf"),
    "efficient-tam-s": ("efficienttam_s",),
    "efficient-tam-s-1": ("efficienttam_s_1",),
    "efficient-tam-s-2": ("efficienttam_s_2",),
    "efficient-tam-s-512": ("efficienttam_s_512x512",),
    "efficient-tam-ti": ("efficienttam_ti",),
    "efficient-tam-ti-1": ("efficienttam_ti_1",),
    "efficient-tam-ti-2": ("efficienttam_ti_2",),
    "efficient-tam-ti-512": ("efficienttam_ti_512x512",),
    "efficient-vit-sam-l0": ("efficientvit_sam_l0",),
    "efficient-vit-sam-l1": ("efficientvit_sam_l1",),
    "efficient-vit-sam-l2": ("efficientvit_sam_l2",),
    "efficient-vit-sam-xl0": ("efficientvit_sam_xl0",),
    "efficient-vit-sam-xl1": ("efficientvit_sam_xl1",),
    "rep-vit-sam": ("repvit_sam", "rep_vit_sam"),
    "sam3": ("sam3",),
    "sam3.1": ("sam3.1", "sam3.1_multiplex"),
    "tiny-sam": ("tinysam", "tiny_sam", "tinysam_42.3"),
    "slim-sam-50": ("slimsam_50_uniform",),
    "slim-sam-77": ("slimsam_77_uniform",),
    "micro-sam-vit-t-lm": ("vit_t_lm", "micro_sam_vit_t_lm"),
    "micro-sam-vit-b-lm": ("vit_b_lm", "micro_sam_vit_b_lm"),
    "micro-sam-vit-l-lm": ("vit_l_lm", "micro_sam_vit_l_lm"),
    "micro-sam-vit-t-em-organelles": ("vit_t_em_organelles", "micro_sam_vit_t_em_organelles"),
    "micro-sam-vit-b-em-organelles": ("vit_b_em_organelles", "micro_sam_vit_b_em_organelles"),
    "micro-sam-vit-l-em-organelles": ("vit_l_em_organelles", "micro_sam_vit_l_em_organelles"),
    "medsam2": ("medsam2_latest",),
    "medsam2-2411": ("medsam2_2411",),
    "medsam2-ct-lesion": ("medsam2_ctlesion",),
    "medsam2-mri-liver-lesion": ("medsam2_mri_liverlesion",),
    "medsam2-us-heart": ("medsam2_us_heart",),
}
_HERE = {other: name for name, others in _ELSEWHERE.items() for other in others}


def name_elsewhere(text: str) -> str | None:
    """samkit's name for a model that others call so, by a name or a file's name; else None.

    >>> name_elsewhere("sam2.1_b.pt"), name_elsewhere("vit_h"), name_elsewhere("mine.pt")
    ('sam2.1-base-plus', 'sam-vit-h', None)
    """
    name = text.lower().replace("-", "_")
    return _HERE.get(name) or _HERE.get(name.rpartition(".")[0])  # of "sam2.1_t" it is no suffix


def did_you_mean(text: str) -> str:
    """The end of a message about a name or file that is not there; empty where none is known."""
    name = name_elsewhere(text) or text.lower().rpartition(".")[0].replace("_", "-")
    return f" Did you mean {name!r}?" if name in MODELS else ""


def find_model(name: str) -> RegisteredModel:
    """The model of that name.

    Raises:
        UnknownModelError: there is none; the message has the nearest name and all names.
    """
    if name in MODELS:
        return MODELS[name]
    hint = did_you_mean(name)
    near = difflib.get_close_matches(name.lower().replace("_", "-"), MODELS, n=1, cutoff=0.5)
    if near and not hint:
        hint = f" Did you mean {near[0]!r}?"
    raise UnknownModelError(
        f"no model is called {name!r}, and no file or folder is there.{hint} "
        f"Names: {', '.join(MODELS)}; or give a checkpoint file, a folder or a Hugging Face id "
        "(owner/name)"
    )
