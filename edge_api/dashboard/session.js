// Who is signed in: a token in the tab's own storage, which the browser gives to no other site, tab or server.

const TOKEN = "token";
let told = { admitted() {}, refused() {} };

export const token = () => sessionStorage.getItem(TOKEN);
export const signIn = (text) => sessionStorage.setItem(TOKEN, text);
export const signOut = () => sessionStorage.removeItem(TOKEN);

// A listener that is open answers without a token, so nobody is asked for one before it is wanted.
export const headers = () => (token() === null ? {} : { Authorization: `Bearer ${token()}` });

// The shell says what is done when a token is wanted (401) or is not enough (403), and when somebody has been let in.
export function whenAnswered({ admitted, refused }) {
  told = { admitted, refused };
}

// What an answer said of who asked.
export const admit = () => told.admitted();
export const refuse = (status) => told.refused(status);
