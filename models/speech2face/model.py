"""Training of speech to face, in four stages by the number of the step.

teachers      identity, emotion and lip networks learn from labels and landmarks of faces
students      speech encoders are distilled from them; head motion is learned from noise
generator     the generator learns to reconstruct frames; distillation goes on
adversarial   the same, with discriminators
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.data.speech2face.clip import EMOTIONS, FaceRecording
from speech2video.data.speech2face.dataset import LIPS, MOUTH, NOISE_WARM_UP, lip_shapes, part_boxes
from speech2video.models.base_model import BaseModel
from speech2video.models.external_network import ExternalNetwork
from speech2video.models.gan import GANDiscriminator
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face import distillation
from speech2video.models.speech2face.discriminators import DISCRIMINATORS
from speech2video.models.speech2face.losses import FrameWindow, SynthesisBatch, TrainingConfig
from speech2video.models.speech2face.predictor import Speech2FacePredictor
from speech2video.models.speech2face.teachers import FaceTeachers
from speech2video.options.speech2face import ADVERSARIAL, GENERATOR, STUDENTS, TEACHERS
from speech2video.util.audio.mel import log_mels
from speech2video.util.metrics.image import mean_in_boxes, psnr, ssim_map
from speech2video.util.metrics.statistics import correlation, finite_mean
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.writer import write_video

MAIN = "speech2face"  # the optimizer of all but the discriminators
EPSILON = 1e-6  # of Adam, as in pose2video
# Of the learning rate, for the eigenfaces: pixels alone blur them, discriminators sharpen them.
PORTRAIT_LR_SHARES = {ADVERSARIAL: 0.3}
PORTRAIT_LR_SHARE = 0.05  # in other stages
FRAME_SPACING = 3  # before the adversarial stage: neighbouring frames are nearly the same
# Share of the frames' gradient that reaches the content encoder: all of an untrained generator's
# drowns what lips teach, and the mouth stops following speech.
CONTENT_GRADIENT = 0.1
# The feature matching loss of a discriminator; those of regions add up.
MATCHED = {"frame": "feature_matching", "mouth": "region_matching", "eyes": "region_matching"}
EVALUATED_FRAMES = 5  # of a clip, for the teachers
SHOWN_CLIPS, SHOWN_FRAMES = 8, 4  # in the page's table


class Speech2FaceModel(BaseModel):
    """Speech encoders, generator, teachers and discriminators with their losses.

    Args:
        networks: as `predictor.build_networks` returns them.
        config: of the training.
        speakers: of the training data.
        external: teachers of a user's own, "identity" and "emotion".
    """

    unused_parameters = True  # each stage leaves some out

    def __init__(
        self,
        networks: nn.ModuleDict,
        config: TrainingConfig,
        *,
        speakers: int,
        external: Mapping[str, ExternalNetwork] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=config.grad_clip)
        self.config, self.weights = config, config.weights
        for name, network in networks.items():
            self.add_network(name, network, ema_decay=config.ema)
        self.predictor = Speech2FacePredictor(self.networks, device=device)
        self.teachers = FaceTeachers(speakers=speakers, lips=len(LIPS), external=external)
        self.add_network("teachers", self.teachers)
        heads = distillation.DistillationHeads(speakers=speakers, lips=len(LIPS))
        self.add_network("heads", heads)
        self.distillation = distillation.Distillation(
            self.net, self.teachers, self.weights, look_ahead=self.predictor.content.look_ahead
        )
        adam = functools.partial(torch.optim.Adam, eps=EPSILON)
        # Adam moves every pixel of a portrait by the rate itself: at the full one, what the flow
        # does not yet explain has blurred it within a hundred steps.
        portraits = _portraits(self.predictor)
        of_portraits = {id(parameter) for parameter in portraits}
        others = [one for one in self.networks.parameters() if id(one) not in of_portraits]
        groups = [{"params": others}, {"params": portraits}]
        optimizer = adam([one for one in groups if one["params"]], betas=(0.9, 0.99), lr=config.lr)
        self.add_optimizer(MAIN, optimizer, lambda n: config.lr * config.lr_share(n))
        for name, (network_class, gan_mode) in DISCRIMINATORS.items():
            network = network_class(width=config.ndf).to(self.device)
            optimizer = adam(network.parameters(), lr=config.lr_d, betas=(0.0, 0.99))
            self.add_discriminator(name, GANDiscriminator(network, optimizer, gan_mode=gan_mode))

    def set_learning_rates(self) -> None:
        """Set the rate of each optimizer to its schedule's, of portraits to a share of it."""
        share = PORTRAIT_LR_SHARES.get(self.config.stage(self.step), PORTRAIT_LR_SHARE)
        for group in self.optimizers[MAIN].param_groups[1:]:
            group["lr_share"] = share
        super().set_learning_rates()

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `FaceDataset`; return its losses."""
        stage = self.config.stage(self.step)
        self.teachers.requires_grad_(stage == TEACHERS)
        if stage == TEACHERS:
            losses = self._train_teachers(batch)
        elif stage == STUDENTS:
            losses = self._distil(batch)
        else:
            spacing = FRAME_SPACING if stage == GENERATOR else 1
            synthesis, losses = self._synthesise(batch, spacing=spacing)
            if stage == ADVERSARIAL:
                losses |= self._train_discriminators(synthesis)
        weighted = [self.weights[name] * losses[name] for name in losses if name in self.weights]
        total = torch.stack(weighted).sum() if weighted else torch.zeros(())
        if total.requires_grad:
            self.backward_and_step(MAIN, total)
        return {"loss": total, **losses}

    def _train_teachers(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows = distillation.teacher_frames(batch["frames"])
        names = ("frames", "mouth_boxes", "lips", "lips_seen")
        frames, boxes, lips, seen = (batch[name][:, rows].flatten(0, 1) for name in names)
        outputs = self.net("teachers")(to_floats(frames), boxes)
        losses = {
            f"teacher_{name}": distillation.masked_cross_entropy(
                outputs[name], batch[name].repeat_interleave(len(rows))
            )
            for name in ("speaker", "emotion")
        }
        return losses | {"teacher_lips": distillation.masked_mse(outputs["lips"], lips, seen)}

    def _distil(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        codes = self.distillation.encode(batch, generating=False)
        if self.distillation.uses("lips", "other_lips", "speaker_in_content"):
            self.distillation.encode_content(batch, codes)
        identity_ND = self._bank_inputs(codes)
        if identity_ND is not None:
            _, logits_NP = self.net("generator")(identity_ND)
            codes.terms["identity_bank"] = lambda: distillation.masked_cross_entropy(
                logits_NP, batch["speaker"]
            )
        losses = self.distillation.losses(codes, batch)
        if "motion_statistics" in self.weights:
            generated_NTM, _ = self.net("head_motion")(batch["noise"])
            real_NTM = self.predictor.head_motion.normalise(batch["motion"])
            distance = distillation.energy_distance(generated_NTM[:, NOISE_WARM_UP:], real_NTM)
            losses["motion_statistics"] = distance
        return losses

    def _bank_inputs(self, codes: distillation.DistillationBatch) -> Tensor | None:
        """Return the identities that the identity bank is trained with, None where it is not."""
        if self.predictor.uses_reference_image or "identity_bank" not in self.weights:
            return None
        return None if codes.identity_ND is None else codes.identity_ND.detach()

    def _synthesise(
        self, batch: Mapping[str, Tensor], *, spacing: int
    ) -> tuple[SynthesisBatch, dict[str, Tensor]]:
        """Generate frames of part of a batch; return them and all but the GAN losses.

        Identity and emotion from a second of speech are noisy and would blur the appearances into
        each other: where they can be, frames are conditioned on the speaker's own appearance and
        on the emotion that the teacher sees.
        """
        codes = self.distillation.encode(batch, generating=True)
        content_NTC = self.distillation.encode_content(batch, codes)
        losses = self.distillation.losses(codes, batch)
        coarse = self.predictor.generator.coarse_to_fine and self.config.is_coarse(self.step)
        count = max(1, round(self.config.generator_share * len(batch["mel"])))
        part = {name: tensor[:count] for name, tensor in batch.items()}
        window = FrameWindow(
            part,
            frames=self.config.num_frames,
            length=content_NTC.shape[1],
            spacing=spacing,
            shrink=2 if coarse else 1,
        )
        content_NPC = window.select(content_NTC[:count])
        if "lips" in self.weights:
            content_NPC = torch.lerp(content_NPC.detach(), content_NPC, CONTENT_GRADIENT)
        if codes.target_emotion_NT8 is None:
            logits_N8 = self._encode("emotion", part["voice"], *distillation.EMOTION_LOSSES)
            emotion_N8 = logits_N8.softmax(1)
        else:
            emotion_N8 = codes.target_emotion_NT8.mean(1).softmax(1)[:count]
        inputs = content_NPC, emotion_N8, window.select(part["motion"])
        generate = functools.partial(self.net("generator"), coarse=coarse)
        identity_ND = self._bank_inputs(codes)
        if identity_ND is not None:
            fake, logits_NP = generate(identity_ND, inputs, part["speaker"])
            bank_loss = distillation.masked_cross_entropy(logits_NP, batch["speaker"])
            losses["identity_bank"], identity_ND = bank_loss, identity_ND[:count]
        else:
            distilled = distillation.IDENTITY_LOSSES
            source = identity_ND = self._encode("identity", part["voice"], *distilled)
            if self.predictor.uses_reference_image:
                source = to_floats(part["reference_image"])
            fake, _ = generate(source, inputs)
        synthesis = SynthesisBatch(window, fake, identity_ND.detach())
        terms = synthesis.image_terms() | synthesis.perceptual_terms(self.teachers)
        losses |= {name: term() for name, term in terms.items() if name in self.weights}
        return synthesis, losses

    def _encode(self, name: str, voice_NBL: Tensor, *distilled: str) -> Tensor:
        """Return an encoder's output; it learns from frames only where it is not distilled."""
        of_image = name == "identity" and self.predictor.uses_reference_image
        if of_image or self.distillation.uses(*distilled):
            with torch.no_grad():
                return self.networks[name].eval()(voice_NBL)
        return self.net(name).train()(voice_NBL)

    def _train_discriminators(self, synthesis: SynthesisBatch) -> dict[str, Tensor]:
        """Do a step of each discriminator; return their losses and the generator's."""
        losses: dict[str, Tensor] = {}
        r1 = self.config.r1_weight(self.step)
        for name, discriminator in self.discriminators.items():
            if f"gan_{name}" not in self.weights:
                continue
            real, fake, others = synthesis.discriminator_inputs(name)
            losses[f"d_{name}"] = discriminator.update(real, fake, r1=r1, **others)
            real, fake, others = synthesis.discriminator_inputs(name, generated_only=True)
            if name in MATCHED:
                both = discriminator.generator_losses(real, fake, **others)
                losses[f"gan_{name}"], matching = both
                total = MATCHED[name]
                losses[total] = losses[total] + matching if total in losses else matching
            else:
                losses[f"gan_{name}"] = discriminator.generator_loss(fake, **others)
        return losses

    def validate(
        self, batches: Iterable[FaceRecording], log: TrainingLog | None
    ) -> dict[str, float]:
        """Return metrics of held-out clips, and add the first of them to the log.

        Metrics are means over clips; one that no clip has, as emotion without labels, is left out.
        Of the voice: identity (share whose nearest mean face is the right speaker's), emotion
        (accuracy), lips (correlation of the gap). The same of the generated faces, as the teachers
        see them, and their PSNR and the mouth's SSIM.
        """
        clips = [clip.part(0, self.config.validate_frames) for clip in batches]
        identities: dict[str, list[Tensor]] = defaultdict(list)
        for clip in clips:
            found_ND = self.teachers.target_identity(self._evaluated(clip.frames_T3HW))
            identities[clip.speaker].append(found_ND.mean(0))
        speakers = {speaker: torch.stack(own).mean(0) for speaker, own in identities.items()}
        videos = [self._generate(clip, clips) for clip in clips]
        if log is not None:
            _show(log, self.step, clips, videos)
        found = [self._metrics(*pair, speakers) for pair in zip(clips, videos, strict=True)]
        names = dict.fromkeys(name for one in found for name in one)
        means = {n: finite_mean(np.array([one.get(n, np.nan) for one in found])) for n in names}
        return {name: mean for name, mean in means.items() if np.isfinite(mean)}

    def _generate(self, clip: FaceRecording, clips: Sequence[FaceRecording]) -> np.ndarray:
        """Return frames; the baseline's image is of another clip of the speaker if there is one."""
        if not self.predictor.uses_reference_image:
            return self.predictor.generate_frames(clip.audio_S)
        others = (one for one in clips if one.speaker == clip.speaker and one is not clip)
        image = next(others, clip).frames_T3HW[0]
        return self.predictor.generate_frames(clip.audio_S, reference_image=image)

    def _evaluated(self, frames_T3HW: np.ndarray) -> Tensor:
        frames = torch.from_numpy(_evenly(frames_T3HW, EVALUATED_FRAMES))
        return to_floats(frames).to(self.device)

    def _metrics(
        self, clip: FaceRecording, frames_T3HW: np.ndarray, speakers: dict[str, Tensor]
    ) -> dict[str, float]:
        face = self.predictor
        embedding = face.embed_speech([log_mels(clip.audio_S)])
        generated = self._evaluated(frames_T3HW)
        gap_T = lip_shapes(clip.points_TK2)[:, 0]
        content_NTC = torch.cat(list(face.encode_content([face.speech_of(clip.audio_S)])), 1)
        voice_gap_T = self.networks["heads"]({"lips": content_NTC})["lips"][0, :, 0].cpu().numpy()
        boxes = part_boxes(clip.points_TK2, frames_T3HW.shape[-1], MOUTH)
        images, boxes_T4 = (torch.from_numpy(x).to(self.device) for x in (frames_T3HW, boxes))
        face_gap_T = self.teachers.lip_shape(to_floats(images), boxes_T4)[:, 0].cpu().numpy()
        face_identity_D = self.teachers.target_identity(generated).mean(0)
        ssim_T = mean_in_boxes(ssim_map(frames_T3HW, clip.frames_T3HW), boxes)
        metrics = {
            "voice_identity": float(_nearest(embedding.identity_D, speakers) == clip.speaker),
            "identity": float(_nearest(face_identity_D, speakers) == clip.speaker),
            "voice_lips": correlation(voice_gap_T, gap_T),
            "lips": correlation(face_gap_T, gap_T),
            "psnr": float(np.mean(psnr(frames_T3HW, clip.frames_T3HW))),
            "mouth_ssim": float(np.nanmean(ssim_T)),
        }
        if clip.emotion:
            logits_8 = self.teachers.target_emotion(generated).amax(0)
            metrics["voice_emotion"] = float(embedding.emotion == clip.emotion)
            metrics["emotion"] = float(EMOTIONS[int(logits_8.argmax())] == clip.emotion)
        return metrics


def _portraits(predictor: Speech2FacePredictor) -> list[nn.Parameter]:
    """Return the parameters of the eigenfaces; the baseline has none."""
    if predictor.uses_reference_image:
        return []
    return list(predictor.generator.eigenfaces.parameters())


def _show(
    log: TrainingLog, step: int, clips: Sequence[FaceRecording], videos: Sequence[np.ndarray]
) -> None:
    shown = {"real": [clip.frames_T3HW for clip in clips], "generated": videos}
    strips = {
        name: [np.concatenate(list(_evenly(one, SHOWN_FRAMES)), 2) for one in some[:SHOWN_CLIPS]]
        for name, some in shown.items()
    }
    log.images(step, {name: np.stack(images) for name, images in strips.items()})
    pairs = zip(clips[0].frames_T3HW, videos[0], strict=False)
    write_video(log.video(step, "real_generated"), (np.concatenate(pair, 2) for pair in pairs))


def _evenly(frames_T3HW: np.ndarray, count: int) -> np.ndarray:
    """Return so many evenly spaced frames."""
    return frames_T3HW[np.linspace(0, len(frames_T3HW) - 1, count).round().astype(int)]


def _nearest(identity_D: Tensor, speakers: dict[str, Tensor]) -> str:
    return max(speakers, key=lambda name: float(identity_D @ speakers[name]))
