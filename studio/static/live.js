// Live: the microphone or texts go to the server, the speaker's video comes back over WebRTC.

import { api, attempt, showError } from "./api.js";
import { fillLanguages, fillSpeakers, microphoneError, wholeNumber } from "./forms.js";

const GATHERING = 5000; // milliseconds at most; without a STUN server it takes much less

/** Wait until the connection knows its own addresses: the offer carries all of them. */
function gathered(connection) {
  return new Promise((resolve) => {
    const check = () => connection.iceGatheringState === "complete" && resolve();
    connection.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHERING);
    check();
  });
}

export class Live {
  constructor({ limits, speakers }) {
    [this.form, this.session, this.limits] = [document.getElementById("live-form"), null, limits];
    this.stage = document.getElementById("live-stage");
    this.video = this.stage.querySelector("video");
    this.status = document.getElementById("live-status");
    const one = (selector) => this.form.querySelector(selector);
    [this.error, this.textError] = this.form.querySelectorAll(".error");
    [this.start, this.stopButton, this.say] = [one("[type=submit]"), one("[data-do=stop]"), one("[data-do=say]")];
    this.text = this.form.elements.namedItem("text");
    this.setSpeakers(speakers);
    this.language = this.form.elements.namedItem("language");
    fillLanguages(this.language, limits);
    this.microphone = this.form.elements.namedItem("microphone");
    this.audible = this.form.elements.namedItem("audible");
    this.microphone.disabled = !limits.text; // without a voice there is nothing else to say
    this.microphone.addEventListener("change", () => {
      this.audible.checked = !this.microphone.checked; // nothing records it again
    });
    if (!limits.live) {
      this.start.disabled = true;
      showError(this.error, "Live mode is not installed here.");
    }
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.session) attempt(this.start, this.error, () => this.open());
    });
    this.stopButton.addEventListener("click", () => this.close("Stopped"));
    this.say.addEventListener("click", () => this.speak());
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.speak();
    });
    window.addEventListener("pagehide", () => this.close(""));
  }

  setSpeakers(speakers) {
    fillSpeakers(this.form.elements.namedItem("speaker"), speakers);
  }

  async open() {
    const speaker = this.form.elements.namedItem("speaker").value;
    const seed = Number(wholeNumber(this.form.elements.namedItem("seed")));
    const session = (this.session = { id: null, stream: null, connection: null, note: "" });
    this.status.textContent = "Connecting";
    try {
      if (this.microphone.checked) await this.listen(session);
      const muted = !this.audible.checked;
      const connection = (session.connection = new RTCPeerConnection());
      if (session.stream) {
        const [track] = session.stream.getAudioTracks();
        const direction = muted ? "sendonly" : "sendrecv";
        connection.addTransceiver(track, { direction, streams: [session.stream] });
      } else if (!muted) connection.addTransceiver("audio", { direction: "recvonly" });
      connection.addTransceiver("video", { direction: "recvonly" });
      // the offer names a data channel, so that the answer can have one
      const read = (event) => this.show(session, event.data);
      connection.createDataChannel("statistics").onmessage = read;
      connection.ondatachannel = (event) => { event.channel.onmessage = read; };
      const received = new MediaStream();
      connection.ontrack = (event) => {
        if ("jitterBufferTarget" in event.receiver) event.receiver.jitterBufferTarget = 0; // show at once
        received.addTrack(event.track);
        this.video.srcObject = received;
        this.video.muted = muted;
        this.video.play().catch(() => { /* the next click plays it */ });
      };
      connection.onconnectionstatechange = () => {
        if (this.session !== session) return;
        if (connection.connectionState === "connected") this.status.textContent = `Live. ${session.note}`;
        if (["failed", "closed"].includes(connection.connectionState)) {
          this.close("");
          showError(this.error, "The connection was lost.");
        }
      };
      await connection.setLocalDescription(await connection.createOffer());
      await gathered(connection);
      const { sdp, type } = connection.localDescription;
      const answer = await api.live({ speaker, seed, sdp, type, muted });
      session.id = answer.id;
      if (this.session !== session) {
        await api.endLive(answer.id).catch(() => {}); // stopped meanwhile
        return;
      }
      await connection.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
      this.setOn(true);
    } catch (error) {
      if (this.session === session) this.close("");
      throw error;
    }
  }

  /** Ask for the microphone; where there is none, texts are spoken alone. */
  async listen(session) {
    try {
      if (!navigator.mediaDevices) throw new Error("The microphone needs https or localhost.");
      session.stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      if (!this.limits.text) throw new Error(microphoneError(error));
      session.note = `${microphoneError(error)} Write what the speaker says.`;
      this.microphone.checked = false;
      this.audible.checked = true;
    }
  }

  setOn(on) {
    this.start.hidden = on;
    this.stopButton.hidden = !on;
    this.text.disabled = this.say.disabled = this.language.disabled = !on || !this.limits.text;
    this.video.hidden = !on;
    this.stage.classList.toggle("empty", !on);
    for (const name of ["speaker", "seed", "audible"]) this.form.elements.namedItem(name).disabled = on;
    this.microphone.disabled = on || !this.limits.text;
    if (on) this.stopButton.focus();
    else if (document.activeElement === document.body && !this.form.closest("[hidden]")) this.start.focus();
  }

  show(session, data) {
    if (this.session !== session) return;
    let numbers;
    try {
      numbers = JSON.parse(data);
    } catch {
      return;
    }
    const place = (name) => document.querySelector(`[data-number=${name}]`);
    if (Number.isFinite(numbers.fps)) place("fps").textContent = numbers.fps.toFixed(1);
    if (Number.isFinite(numbers.delay_ms)) place("delay").textContent = `${Math.round(numbers.delay_ms)} ms`;
    if (Number.isFinite(numbers.dropped)) place("dropped").textContent = String(numbers.dropped);
  }

  close(status) {
    const { session } = this;
    if (!session) return;
    this.session = null;
    session.stream?.getTracks().forEach((track) => track.stop());
    session.connection?.close();
    if (session.id) api.endLive(session.id).catch(() => { /* it ends without its connection, too */ });
    this.video.srcObject = null;
    this.status.textContent = status;
    this.setOn(false);
  }

  speak() {
    const text = this.text.value.trim();
    if (!this.session || this.say.disabled) return;
    attempt(this.say, this.textError, async () => {
      if (!text) throw new Error("Write what the speaker says.");
      await api.say(this.session.id, { text, language: this.language.value || undefined });
      this.text.value = "";
      this.text.focus();
    });
  }
}
