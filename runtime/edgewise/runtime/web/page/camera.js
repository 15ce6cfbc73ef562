// This browser's own camera: the newest picture goes to the server once the last one is answered.
const SIDE = 480, QUALITY = 0.8;

export class Camera {
  constructor(canvas, answered, tell, lost) {
    Object.assign(this, { canvas, answered, tell, lost, facing: "environment", wish: null, stream: null, socket: null, paused: false, waiting: false });
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = true;
  }

  // Whether it is on, or the browser is asking for it.
  get wanted() {
    return this.wish !== null;
  }

  // True once pictures flow. A browser gives its camera only to a page on this machine or over https.
  async start(address) {
    if (!navigator.mediaDevices?.getUserMedia) {
      this.tell("This browser lends its camera only over https or on the device itself (http://localhost). Start Edgewise with --certificate.");
      return false;
    }
    try {
      if (!(await this.open())) return false;
    } catch (error) {
      this.release();
      this.tell(`The camera cannot be used: ${error.message || error.name}.`);
      return false;
    }
    this.address = address;
    this.connect();
    return true;
  }

  // False where another call came while the browser asked the person, or stop() did: the later one counts.
  async open() {
    this.release();
    const wish = (this.wish = Symbol());
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: this.facing, width: { ideal: 640 } }, audio: false });
    if (this.wish !== wish) {
      stream.getTracks().forEach((track) => track.stop());
      return false;
    }
    this.stream = this.video.srcObject = stream;
    for (const track of stream.getTracks()) track.onended = () => this.stream === stream && this.lose("The camera is gone");
    await this.video.play();
    return this.wish === wish;
  }

  release() {
    this.wish = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
  }

  lose(why) {
    this.stop();
    this.tell(`${why}. Choose "My camera" to try again.`);
    this.lost();
  }

  connect() {
    this.socket?.close();
    const socket = new WebSocket(this.address);
    this.socket = socket;
    this.waiting = false;
    socket.onopen = () => this.send();
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      message.age_ms = performance.now() - this.sent;
      this.waiting = false;
      this.answered(message);
      if (!this.paused) requestAnimationFrame(() => this.send());
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.tell(event.code === 1013 ? "Too many cameras are in use. Trying again." : "The connection to the device is lost. Trying again.");
      setTimeout(() => this.socket === socket && this.connect(), 1000);
    };
  }

  async send() {
    const { video, canvas, socket } = this;
    if (!this.stream || this.paused || this.waiting || socket?.readyState !== WebSocket.OPEN) return;
    if (!video.videoWidth) { setTimeout(() => this.send(), 50); return; }
    const scale = Math.min(1, SIDE / Math.min(video.videoWidth, video.videoHeight));
    const [width, height] = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").drawImage(video, 0, 0, width, height);
    this.waiting = true;
    this.sent = performance.now();
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
    if (blob && socket.readyState === WebSocket.OPEN) socket.send(blob);
  }

  async turn() {
    this.facing = this.facing === "environment" ? "user" : "environment";
    try {
      if (await this.open()) this.send();
    } catch (error) {
      this.lose(`The other camera cannot be used: ${error.message || error.name}`);
    }
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.send();
  }

  stop() {
    this.release();
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}
